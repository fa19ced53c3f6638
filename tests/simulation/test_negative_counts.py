"""Recordings with a sign, from which more than the camera's offset was subtracted: from estimate to localization."""

import numpy as np
import pytest
import tifffile

from ds3d_tf.jobs.estimate_noise import estimate_noise
from ds3d_tf.jobs.prepare import prepare
from ds3d_tf.jobs.simulate import simulate
from ds3d_tf.localization.frames.source import open_frames
from ds3d_tf.setup import load_setup
from ds3d_tf.simulation import training_dataset


def setup_with(baseline):
    """One σ and one baseline, and emitters that leave most of the frame dark."""
    low, high = baseline - 0.5, baseline + 0.5
    return load_setup(
        "quickstart_voxel",
        [
            "read_noise.kind=uniform",
            f"read_noise.baseline_range=[{low}, {high}]",
            "read_noise.sigma_range=[5, 5]",
            "background.kind=uniform",
            "background.level=0",
            "emitters.count_range=[1, 3]",
            "training_set.seed=7",
        ],
    )


@pytest.mark.parametrize("baseline", [-3, -100])
def test_estimated_and_simulated_alike(tmp_path, baseline):
    rng = np.random.default_rng(0)
    real = rng.normal(baseline, 5, (40, 64, 64))
    real[:, 20:24, 30:34] += rng.poisson(60, (40, 4, 4))
    tifffile.imwrite(tmp_path / "real.tif", np.rint(real).astype(np.int16))
    found = estimate_noise(tmp_path / "real.tif", tmp_path / "noise")
    low, high = found.sections["read_noise"]["baseline_range"]
    assert np.mean([low, high]) == pytest.approx(baseline, rel=0.15)
    assert np.mean(found.sections["read_noise"]["sigma_range"]) == pytest.approx(5, rel=0.15)

    again = setup_with(baseline).replace(
        {f"read_noise.{name}": value for name, value in found.sections["read_noise"].items()}
    )
    simulate(again, tmp_path / "preview", count=20, emitter_count=0)
    frames = np.stack(list(open_frames(tmp_path / "preview" / "frames.tif")))
    dark = real[:, :16]
    assert frames.mean() == pytest.approx(dark.mean(), abs=0.2)
    assert frames.std() == pytest.approx(dark.std(), rel=0.05)
    assert frames.min() < baseline - 3 * 5


@pytest.mark.parametrize("kind", ["project_01", "factors"])
def test_a_network_learns_the_same_from_them(kind):
    """Normalized, frames around -100 are those around +100, and so is what they teach."""
    frames = {}
    for baseline in (-100, 100):
        setup = setup_with(baseline).replace({"normalization.kind": kind, "normalization.subtract": float(baseline)})
        for inputs, _ in training_dataset(setup, limit=8, batch_size=8):
            frames[baseline] = np.asarray(inputs)
    np.testing.assert_allclose(frames[-100], frames[100], atol=2e-6)


def test_prepared_from_counts_with_a_sign(tmp_path):
    stack = np.random.default_rng(0).normal(-50, 5, (12, 20, 24)).round().astype(np.int16)
    tifffile.imwrite(tmp_path / "raw.tif", stack)
    prepare(tmp_path / "raw.tif", tmp_path / "prepared")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "prepared" / "prepared.tif"), stack - stack.min(axis=0))


def test_the_clip_of_cameras_without_a_sign_stays():
    frames = next(iter(training_dataset(setup_with(0.5).replace({"normalization.kind": "factors"}), limit=4)))[0]
    assert np.min(frames) == 0
