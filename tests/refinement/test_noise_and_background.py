"""Likelihood against scipy's Poisson; B-splines against dense sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import poisson

from ds3d_tf.common.errors import InputError
from ds3d_tf.refinement import CameraNoise
from ds3d_tf.refinement.background import spline_background


def test_log_likelihood_is_poissons():
    rng = np.random.default_rng(1)
    mean = rng.uniform(5, 200, (9, 7)).astype(np.float32)
    other = mean * rng.uniform(0.9, 1.1, mean.shape).astype(np.float32)
    counts = rng.poisson(mean)
    frame = CameraNoise().measured(counts)
    wanted = poisson.logpmf(counts, mean).sum() - poisson.logpmf(counts, other).sum()
    assert frame.log_likelihood(mean) - frame.log_likelihood(other) == pytest.approx(wanted, abs=1e-3)


def test_read_noise_shifts_the_poisson():
    counts, mean, other = np.full((2, 3), 12), np.full((2, 3), 10.0, np.float32), np.full((2, 3), 13.0, np.float32)
    frame = CameraNoise(read_sigma=3.0).measured(counts)
    wanted = 6 * (poisson.logpmf(21, 19) - poisson.logpmf(21, 22))
    assert frame.log_likelihood(mean) - frame.log_likelihood(other) == pytest.approx(wanted, abs=1e-4)


def test_counts_become_photoelectrons_and_bad_pixels_do_not_count():
    counts = np.array([[110.0, np.nan], [130.0, 9e9]])
    noise = CameraNoise(offset=100, gain=2, read_sigma=1, excess=2, valid=np.array([[True, True], [True, False]]))
    frame = noise.measured(counts)
    np.testing.assert_allclose(frame.data, [[2.5, 0], [7.5, 0]])
    np.testing.assert_allclose(frame.extra_variance, [[0.25, 0], [0.25, 0]])
    np.testing.assert_array_equal(frame.valid, [[1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"gain": 0}, "gain: .*positive"), ({"read_sigma": -1}, "read_sigma: .*0 or more"), ({"excess": 0}, "excess")],
)
def test_wrong_noise_is_refused(wrong, words):
    with pytest.raises(InputError, match=words):
        CameraNoise(**wrong)


def test_a_map_must_fit_the_frames():
    with pytest.raises(InputError, match="gain: a map of 3×4 pixels does not fit frames of 5×6"):
        CameraNoise(gain=np.ones((3, 4))).check_shape((5, 6))


def test_background_of_equal_coefficients_is_flat_and_sums_are_dense_sums():
    spline = spline_background(31, 26)
    p, q = spline.shape
    np.testing.assert_allclose(spline.surface(np.full(p * q, 7.0)), 7, rtol=1e-5)
    assert np.abs(spline.roughness @ np.ones(p * q)).max() < 1e-12
    dense = (spline.rows[:, None, :, None] * spline.columns[None, :, None, :]).reshape(p * q, -1).astype(np.float64)
    weights = np.random.default_rng(2).uniform(0.5, 2, (31, 26)).astype(np.float32)
    np.testing.assert_allclose(spline.gram(weights), (dense * weights.ravel()) @ dense.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(spline.projected(weights[None])[0], dense @ weights.ravel(), rtol=1e-4)


def test_read_noise_that_varies_over_the_frame_is_measured_in_each_frame(microscope, emitters):
    setup = microscope.setup.replace({"read_noise.kind": "super_gaussian", "read_noise.sigma_range": [4.0, 14.0]})
    noise = CameraNoise.from_setup(setup)
    random, along = np.random.default_rng(3), np.linspace(-1, 1, 61)
    sigma = 4 + 10 * np.exp(-3 * (along[:, None] ** 2 + along**2))
    light = microscope.images(emitters).sum(axis=0) + 20
    found = np.mean(
        [
            noise.measured(random.poisson(light) + sigma * random.normal(size=sigma.shape)).extra_variance
            for _ in range(20)
        ],
        axis=0,
    )
    inner = slice(6, -6), slice(6, -6)
    # Smoothed over 12 pixels, as the estimate is; the mean of a setup's range would be wrong by up to a factor of 4.
    weight = np.pad(np.ones((51, 51)), 5)
    expected = gaussian_filter(weight * sigma**2, 12, mode="constant") / gaussian_filter(weight, 12, mode="constant")
    assert np.abs(found / expected - 1)[inner].max() < 0.1
