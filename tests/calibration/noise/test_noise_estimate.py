"""Baseline and noise from frames whose noise is known, made here with NumPy alone."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.calibration.noise.comparison import likeness, radial_power
from ds3d_tf.calibration.noise.emitter_free import emitter_free, mean_and_noise
from ds3d_tf.calibration.noise.estimated_sections import noise_sections, normalization_section, signal_section
from ds3d_tf.calibration.noise.noise_estimate import estimate_noise
from ds3d_tf.calibration.noise.signal_fit import fit_signal
from ds3d_tf.setup import Setup

Y, X = np.mgrid[:96, :96]


def light(rng: np.random.Generator, emitters: int) -> np.ndarray:
    image = np.zeros((96, 96))
    for _ in range(emitters):
        x, y = rng.uniform(15, 80, 2)
        image += rng.gamma(3, 3000) / (2 * np.pi * 9) * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / 18)
    return image


def recording(baseline: tuple[float, float], sigma: object, frames: int = 40, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        np.maximum(
            rng.poisson(light(rng, int(rng.integers(1, 6))))
            + rng.uniform(*baseline)
            + sigma * rng.normal(size=X.shape),
            0,
        )
        for _ in range(frames)
    ]


@pytest.mark.parametrize(("baseline", "sigma"), [((20, 40), 10.0), ((8, 12), 3.0), ((95, 105), 20.0)])
def test_known_noise(baseline: tuple[float, float], sigma: float) -> None:
    found = estimate_noise(recording(baseline, sigma))
    assert found is not None
    assert found.baseline == pytest.approx(np.mean(baseline), rel=0.08)
    assert found.sigma == pytest.approx(sigma, rel=0.06)
    assert found.baseline_range == pytest.approx(baseline, rel=0.25)
    assert found.sigma_range == pytest.approx((sigma, sigma), rel=0.1)
    assert not found.is_light and not found.varies_in_space
    assert noise_sections(found)["read_noise"]["kind"] == "uniform"


def test_noise_that_varies_over_the_frame() -> None:
    sigma = 6 + 6 * np.exp(-((X - 48.0) ** 2 + (Y - 48.0) ** 2) / 1200)
    found = estimate_noise(recording((20, 30), sigma))
    assert found is not None and found.varies_in_space
    assert noise_sections(found)["read_noise"]["kind"] == "super_gaussian"
    assert found.sigma_range == pytest.approx((6, 12), rel=0.15)


def test_light_is_told_from_read_noise() -> None:
    rng = np.random.default_rng(1)
    shape = 20 + 80 * np.exp(-((X - 40.0) ** 2 + (Y - 50.0) ** 2) / 2000)
    found = estimate_noise(
        [rng.poisson(shape).astype(np.float32) for _ in range(20)], lambda tile: np.ones(tile.shape, bool)
    )
    assert found is not None and found.is_light
    assert found.sigma**2 == pytest.approx(shape.mean(), rel=0.05)
    sections = noise_sections(found)
    assert sections["read_noise"] == {"kind": "none"}
    # valley and peak are drawn in [v, 1.5 v]
    ends = np.percentile(shape.reshape(6, 16, 6, 16).mean(axis=(1, 3)), [5, 95])
    assert 1.25 * np.array(sections["background"]["valley_peak"]) == pytest.approx(ends, rel=0.03)


def test_a_slope_is_no_noise() -> None:
    rng = np.random.default_rng(2)
    frame = 3.0 * X + 2.0 * rng.normal(size=X.shape)
    mean, sigma = mean_and_noise(frame, np.ones(X.shape, bool))
    assert mean == pytest.approx(3 * 47.5, abs=0.2)
    assert sigma == pytest.approx(2, rel=0.03)


def test_emitters_are_kept_away_from() -> None:
    rng = np.random.default_rng(3)
    spot = 8000 / (2 * np.pi * 9) * np.exp(-((X - 30) ** 2 + (Y - 60) ** 2) / 18)
    free = emitter_free(spot + 50 + 5 * rng.normal(size=X.shape))
    assert spot[free].max() < 0.5
    assert free.mean() > 0.7


def test_no_free_pixels() -> None:
    frame = np.full((20, 20), 100.0)
    assert estimate_noise([frame], lambda tile: np.zeros(tile.shape, bool)) is None


@pytest.mark.parametrize("count", [60, 150])
def test_photons_of_known_laws(count: int) -> None:
    rng = np.random.default_rng(4)
    photons = rng.gamma(3, 3000, 4 * count) * rng.normal(1, 0.05, 4 * count)
    photons = photons[photons > 2500][:count]
    law = fit_signal(photons, 2500)
    assert law.distribution == "gamma"
    assert law.mean == pytest.approx(9000, rel=3 * 0.58 / np.sqrt(count))
    assert photons.mean() > law.mean  # the faint that were not looked for are made up for
    law = fit_signal(rng.uniform(1e4, 3e4, count) * rng.normal(1, 0.05, count), 2500)
    assert law.distribution == "uniform"
    assert law.mean == pytest.approx(2e4, rel=3 * 0.29 / np.sqrt(count))
    assert law.uniform_range == pytest.approx((1e4, 3e4), rel=0.2)
    Setup.create({"signal": signal_section(law)})


def test_too_few_photons() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        fit_signal(np.array([1.0, 2.0]), 0.5)


def test_power_of_white_noise_is_its_variance() -> None:
    rng = np.random.default_rng(5)
    frames = [7 + 3 * rng.normal(size=(64, 48)) for _ in range(20)]
    frequency, power = radial_power(frames)
    assert power[2:] == pytest.approx(9, rel=0.15)
    assert 0 < frequency[0] < frequency[-1] < 0.5
    alike = likeness(frames, [2 * frame for frame in frames])
    assert alike["power_simulated_over_real"]["fine"] == pytest.approx(4, rel=1e-6)
    assert normalization_section(frames)["divide"] == pytest.approx(np.percentile(frames, 99.9), rel=0.01)
