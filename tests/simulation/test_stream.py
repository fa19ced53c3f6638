"""A stream gives the same frames whatever its parallelism, batch size or starting point."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.imaging_stream import imaging_dataset
from ds3d_tf.simulation.stream import (
    GROUP_FRAMES,
    simulate_frames,
    training_dataset,
)


@pytest.fixture(scope="module")
def setup():
    """Small frames with every kind of noise."""
    return load_setup(
        "quickstart_voxel",
        [
            "read_noise.kind=super_gaussian",
            "training_set.training_count=21",
            "training_set.validation_count=10",
            "learning.batch_size=4",
            "volume.height_px=24",
            "volume.width_px=28",
        ],
    )


def _all(dataset):
    batches = list(dataset.as_numpy_iterator())
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_shapes_and_kinds(setup):
    dataset = training_dataset(setup)
    assert dataset.cardinality().numpy() == 6
    batches = list(dataset.as_numpy_iterator())
    assert [len(frames) for frames, _ in batches] == [4, 4, 4, 4, 4, 1]
    frames, emitters = batches[0]
    assert frames.shape == (4, 24, 28)
    assert emitters.shape == (4, 6, 4)
    assert frames.dtype == emitters.dtype == np.float32
    assert set(np.unique(emitters[..., 3])) <= {0.0, 1.0}
    validation = _all(training_dataset(setup, "validation"))
    assert validation[0].shape[0] == 10
    assert np.all(validation[1][..., 3].sum(1) == 3)


def test_parallel_calls_and_batch_size_change_no_bit(setup):
    frames, emitters = _all(training_dataset(setup, seed=5, parallel_calls=1))
    for options in ({"parallel_calls": 8}, {"parallel_calls": 8, "batch_size": 7}, {"batch_size": 1}):
        again, same = _all(training_dataset(setup, seed=5, **options))
        assert np.array_equal(frames, again)
        assert np.array_equal(emitters, same)


def test_seeds_splits_and_frames_differ(setup):
    frames = _all(training_dataset(setup, seed=5))[0]
    assert not np.array_equal(frames, _all(training_dataset(setup, seed=6))[0])
    assert not np.array_equal(frames[:10], _all(training_dataset(setup, "validation", seed=5))[0])
    assert len({frame.tobytes() for frame in frames}) == 21


def test_a_stream_can_be_entered_anywhere(setup):
    whole = _all(training_dataset(setup, limit=60))
    for first, limit in ((0, 5), (3, 20), (GROUP_FRAMES, 8), (41, 19)):
        part = _all(training_dataset(setup, first_frame=first, limit=limit))
        assert all(np.array_equal(w[first : first + limit], p) for w, p in zip(whole, part, strict=True))
    rest = _all(training_dataset(setup, first_frame=25))
    assert np.array_equal(rest[0], whole[0][25:42])


def test_epochs_are_fresh_unless_told_otherwise(setup):
    fresh = _all(training_dataset(setup, limit=42))[0]
    assert not np.array_equal(fresh[:21], fresh[21:])
    fixed = setup.replace({"training_set.fresh_each_epoch": False})
    frames = _all(training_dataset(fixed, limit=45))[0]
    assert np.array_equal(frames[:21], fresh[:21])
    assert np.array_equal(frames[:21], frames[21:42])
    assert np.array_equal(frames[:3], frames[42:])
    assert np.array_equal(_all(training_dataset(fixed, first_frame=19, limit=10))[0], frames[19:29])
    validation = _all(training_dataset(setup, "validation", limit=20))[0]
    assert np.array_equal(validation[:10], validation[10:])


def test_emitters_without_frames_are_the_same_emitters(setup):
    parts, emitters = next(iter(imaging_dataset(setup, batch_size=21)))
    frames, rows = _all(training_dataset(setup))
    assert np.array_equal(emitters, rows)
    assert np.array_equal(parts["xyz_um"], rows[..., :3])
    assert parts["photons"].shape == parts["blur_sigma_px"].shape == (21, 6)
    for name in ("background", "shot_noise", "dark_counts"):
        assert parts[name].shape == frames.shape


def test_background_and_noise_without_frames_are_the_same(setup):
    """Without emitters a frame is its background with noise: Poisson's own law, or the mean of the approximate one."""
    import tensorflow as tf

    bright = setup.replace({"background.level": 1e4, "background.kind": "uniform", "normalization.kind": "factors"})
    parts, _ = next(iter(imaging_dataset(bright, batch_size=21)))
    dark = lambda xyz_um, photons, blur_sigma_px: tf.zeros([8, 24, 28])  # noqa: E731
    counts = _all(training_dataset(bright, renderer=dark))[0] * bright.normalization.divide
    made = parts["background"] + 100 * parts["shot_noise"] + parts["dark_counts"]
    # both laws are made of the same normal numbers and agree but for rounding and Poisson's small skewness
    assert np.abs(counts - made).max() < 8
    assert np.abs(np.mean(counts - made)) < 0.1


def test_another_renderer_can_be_swapped_in(setup):
    dark = setup.replace({"background.kind": "uniform", "read_noise.kind": "none"})
    seen = []

    def renderer(xyz_um, photons, blur_sigma_px):
        seen.append((xyz_um.shape, photons.shape, blur_sigma_px.shape))
        import tensorflow as tf

        return tf.zeros([8, 24, 28])

    frames, _ = _all(training_dataset(dark, renderer=renderer, limit=8))
    assert not frames.any()
    assert seen == [((8, 6, 3), (8, 6), (8, 6))]


def test_simulate_frames(setup):
    simulated = simulate_frames(setup, 11, seed=3)
    assert simulated.frames.shape == (11, 24, 28)
    assert simulated.xyz_um.shape == (11, 6, 3)
    assert np.array_equal(simulated.labelled, simulated.photons > 0)
    assert simulated.frames.min() >= 0
    later = simulate_frames(setup, 4, seed=3, first_frame=6)
    assert np.array_equal(later.frames, simulated.frames[6:10])
    fixed = simulate_frames(setup, 3, seed=3, emitter_count=2)
    assert fixed.photons.shape == (3, 2)
    assert (fixed.photons > 0).all()
    assert simulate_frames(setup, 2, seed=3, emitter_count=0).frames.shape == (2, 24, 28)
    assert simulate_frames(setup, 0, seed=3).frames.shape == (0, 24, 28)


def test_light_is_conserved_through_the_stream():
    """Without background or read noise a frame holds its emitters' photons, less what falls off its edge."""
    setup = load_setup(
        "quickstart_voxel",
        [
            "background.kind=uniform",
            "background.level=0",
            "volume.height_px=101",
            "volume.width_px=101",
            "volume.margin_px=40",
            "blur.sigma_range_px=[0.75, 0.75]",
        ],
    )
    simulated = simulate_frames(setup, 16, seed=1)
    photons = simulated.photons.sum(1)
    error = np.sqrt(photons)
    # The model's blur kernel, 1/2πσ² on 9×9 pixels, sums to 1.0001 at σ = 0.75.
    excess = (simulated.frames.sum(axis=(1, 2)) - photons) / error
    assert np.all(np.abs(excess) < 5)
