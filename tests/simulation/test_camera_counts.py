"""Simulated counts by the formula of their variance; variances against means of cameras simulated in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.common import InputError
from ds3d_tf.setup import load_setup
from ds3d_tf.setup.camera import Camera
from ds3d_tf.simulation.camera_counts import camera_counts
from ds3d_tf.simulation.photon_transfer import photon_transfer
from ds3d_tf.simulation.seeds import split_seed
from ds3d_tf.simulation.stream import simulate_frames

SHOT, READ = split_seed(1, "training"), split_seed(2, "training")


@pytest.mark.parametrize(
    "camera", [Camera(100, 0.47, 1.6, 0.81, spurious_electrons=0.5), Camera(200, 0.02, 30, 0.9, 300)]
)
@pytest.mark.parametrize("photons", [2.0, 100.0])
def test_mean_and_variance_are_the_formulas(camera: Camera, photons: float) -> None:
    counts = camera_counts(camera, tf.fill([8, 150, 150], photons), SHOT, READ).numpy().astype(np.float64)
    assert counts.mean() == pytest.approx(camera.expected_counts(photons), rel=0.005)
    assert counts.var() == pytest.approx(camera.variance_counts2(photons), rel=0.04)


def test_frames_smaller_than_the_maps_take_parts_of_them() -> None:
    offset = np.arange(400.0).reshape(20, 20)
    counts = camera_counts(Camera(offset), tf.zeros([8, 5, 6]), SHOT, READ).numpy()
    np.testing.assert_array_equal(counts - counts[:, :1, :1], np.broadcast_to(offset[:5, :6], counts.shape))
    assert len(set(counts[:, 0, 0])) > 1
    with pytest.raises(InputError, match="maps of 20×20 pixels are smaller than simulated frames of 5×26"):
        camera_counts(Camera(offset), tf.zeros([8, 5, 26]), SHOT, READ)


def test_streams_with_a_camera_repeat() -> None:
    setup = load_setup("quickstart_voxel", ["read_noise.kind=none", "camera.em_gain=300", "camera.offset_counts=100"])
    first, again = (simulate_frames(setup, 3, 5, first_frame=at).frames for at in (0, 1))
    np.testing.assert_array_equal(first[1:], again[:2])


@pytest.mark.parametrize(
    ("gain", "noise", "offset", "em_gain"), [(2.85, 0, 0, 1), (2.1, 1.6, 100, 1), (0.1, 30, 200, 300)]
)
def test_known_gains_are_recovered(gain: float, noise: float, offset: float, em_gain: float) -> None:
    rng = np.random.default_rng(4)
    electrons = rng.poisson(np.linspace(5, 60, 400)[:, None], (400, 256)).astype(float)
    if em_gain > 1:
        electrons = em_gain * rng.gamma(electrons)
    counts = offset + gain * (electrons + noise * rng.normal(size=electrons.shape))
    counts[:8] += rng.exponential(300 * gain * em_gain, (8, 256))  # places where an emitter was overlooked
    line = photon_transfer(counts.mean(axis=1), counts.var(axis=1, ddof=1), np.full(400, 255))
    assert line.is_light
    assert line.counts_per_photoelectron(em_gain) == pytest.approx(gain * em_gain, rel=0.04)
    found = line.offset_and_read_noise(offset, em_gain)[1]
    assert found == pytest.approx(noise / em_gain, abs=1.2)


def test_noise_that_is_not_light_has_no_slope() -> None:
    counts = np.random.default_rng(5).normal(np.linspace(20, 40, 100)[:, None], 10, (100, 256))
    assert not photon_transfer(counts.mean(axis=1), counts.var(axis=1), np.full(100, 255)).is_light


def test_too_few_points_are_refused() -> None:
    with pytest.raises(InputError, match="12 points or more, got 3"):
        photon_transfer([1, 2, 3], [1, 2, 3])
