"""Refinement's noise is that of the setup's camera, and the bound knows it."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.optics.crlb_curve import typical_conditions
from ds3d_tf.refinement.noise import CameraNoise
from ds3d_tf.setup import load_setup
from ds3d_tf.setup.camera import Camera
from ds3d_tf.setup.camera_files import load_camera

EMCCD = ["camera.offset_counts=100", "camera.counts_per_electron=0.1", "camera.read_noise_electrons=30"]


def test_measured_frames_have_the_variance_of_their_mean() -> None:
    setup = load_setup("demo3", [*EMCCD, "camera.em_gain=300", "camera.quantum_efficiency=0.9"])
    camera = load_camera(setup)
    assert isinstance(camera, Camera)
    noise, photons = CameraNoise.from_setup(setup), 50.0
    frame = noise.measured(np.full((2, 2), camera.expected_counts(photons)))
    np.testing.assert_allclose(frame.data * noise.photons_per_unit, photons, rtol=1e-6)
    scale = noise.gain * noise.excess
    np.testing.assert_allclose(frame.variance(frame.data) * scale**2, camera.variance_counts2(photons), rtol=1e-5)


def test_the_bound_loses_what_the_camera_loses() -> None:
    setup = load_setup("demo3", [*EMCCD, "camera.em_gain=300", "camera.quantum_efficiency=0.9"])
    conditions = typical_conditions(setup)
    assert conditions.efficiency == pytest.approx(0.45)
    assert conditions.read_noise == pytest.approx(0.1 / np.sqrt(1.8))
    assert typical_conditions(load_setup("demo3")).efficiency == 1
