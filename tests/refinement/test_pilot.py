"""The noise of a recording and the error of the images, from a few of its frames."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.refinement import refine
from ds3d_tf.refinement.noise import CameraNoise, light_above_background, noise_kernel
from ds3d_tf.refinement.pilot import pilot, pilot_indices


def expected_frames(microscope, emitters, count: int, seed: int) -> list[np.ndarray]:
    """Expected photons of frames with the emitters at other places, over a background with a slope."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(20, 60, 61)[:, None] + np.zeros((61, 61))
    frames = []
    for _ in range(count):
        moved = emitters.copy()
        moved[:, :2] += rng.uniform(-0.5, 0.5, (len(emitters), 2))
        frames.append(microscope.images(moved).sum(axis=0) + slope)
    return frames


def test_kernel_passes_noise_and_not_images(microscope, emitters):
    kernel = noise_kernel(microscope.setup)
    assert np.sum(kernel**2) == pytest.approx(1)
    image = microscope.images(emitters[:1])[0]
    spectrum = np.abs(np.fft.fft2(kernel, image.shape)) ** 2
    passed = np.sum(spectrum * np.abs(np.fft.fft2(image)) ** 2) / np.sum(np.abs(np.fft.fft2(image)) ** 2)
    assert passed < 0.002


def test_gain_and_offset_of_a_recording_the_setup_does_not_know(microscope, emitters):
    rng = np.random.default_rng(8)
    counts = [100 + 2.5 * rng.poisson(mean) for mean in expected_frames(microscope, emitters, 8, 8)]
    seen = pilot(counts, microscope.setup, microscope.mask_rad)
    assert not seen.is_setups
    assert seen.noise.gain == pytest.approx(2.5, rel=0.1)
    # Offset and read noise cannot be told apart: the variance is what counts.
    variance = seen.noise.gain * (200 - seen.noise.offset) + (seen.noise.gain * seen.noise.read_sigma) ** 2
    assert variance == pytest.approx(2.5 * 100, rel=0.1)
    assert seen.noise.model_error == 0
    found = refine(np.stack(counts[:1]), None, microscope.setup, microscope.mask_rad, noise=seen.noise)
    assert len(found) == len(emitters)


def test_setup_is_believed_where_the_recording_agrees(microscope, emitters):
    rng = np.random.default_rng(9)
    counts = [rng.poisson(mean).astype(np.float32) for mean in expected_frames(microscope, emitters, 6, 9)]
    counts[0][3, 4] = np.nan
    seen = pilot(counts, microscope.setup, microscope.mask_rad)
    assert seen.is_setups and seen.noise.model_error == 0
    assert seen.ratio == pytest.approx(1, abs=0.08)
    assert "the setup's" in seen.summary() and seen.report()["source"] == "setup"


def test_wrong_images_are_seen_and_breed_fewer_satellites(microscope, emitters):
    """Frames of a microscope with a coma that the mask lacks, and bright emitters that show it."""
    axis = np.linspace(-1, 1, len(microscope.mask_rad))
    x, y = np.meshgrid(axis, axis)
    coma = 4.0 * (3 * (x**2 + y**2) - 2) * x
    other = exact_renderer(
        microscope.setup.optics, microscope.setup.volume, microscope.mask_rad + coma, dtype="float64"
    )
    aberrated = microscope._replace(renderer=other)
    bright = emitters[[0, 2]] * [1, 1, 1, 6, 1]
    rng = np.random.default_rng(10)
    counts = [rng.poisson(mean).astype(np.float32) for mean in expected_frames(aberrated, bright, 4, 10)]
    seen = pilot(counts, microscope.setup, microscope.mask_rad)
    assert seen.noise.model_error > 0.02
    with_error, without = (
        refine(np.stack(counts), None, microscope.setup, microscope.mask_rad, noise=noise)
        for noise in (seen.noise, dataclasses.replace(seen.noise, model_error=0.0))
    )
    assert len(bright) * len(counts) <= len(with_error) < len(without)


def test_model_error_adds_variance_where_the_light_is():
    frame = np.full((80, 80), 20.0)
    frame[30:34, 40:44] = 1000
    plain, uncertain = CameraNoise().measured(frame), CameraNoise(model_error=0.1).measured(frame)
    extra = uncertain.extra_variance - plain.extra_variance
    assert extra[5, 5] == 0 and extra.argmax() in np.ravel_multi_index(np.mgrid[30:34, 40:44], (80, 80))
    assert np.sum(light_above_background(frame.astype(np.float32), np.ones((80, 80), bool))) == pytest.approx(
        16 * 980, rel=0.01
    )


def test_pilot_looks_at_some_frames_all_over_the_recording():
    assert pilot_indices(0, (64, 64)) == [] and pilot_indices(1, (64, 64)) == [0]
    assert pilot_indices(1000, (64, 64))[0] == 0 and pilot_indices(1000, (64, 64))[-1] == 999
    assert len(pilot_indices(1000, (64, 64))) == 8 and len(pilot_indices(1000, (2048, 2048))) == 2


def test_no_frames_leave_the_setups_noise(microscope):
    seen = pilot([], microscope.setup, microscope.mask_rad)
    assert seen.is_setups and seen.frames == 0
