"""The gradient of an image's likelihood to the phase mask, which masks are learned and retrieved by."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from fft_reference import blur, fft_psf

from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.setup import load_setup

XYZ_UM = np.array([[0.1, -0.25, 0.2], [-0.6, 0.4, 0.8]])
PHOTONS, SIGMA_PX = np.array([4000.0, 2500.0]), np.array([0.9, 1.1])
BACKGROUND = 10.0


@pytest.mark.parametrize("model", ["scalar", "vectorial"])
def test_gradient_of_the_likelihood_is_that_of_finite_differences(model: str) -> None:
    small = ["volume.height_px=24", "volume.width_px=24", f"optics.model={model}", "optics.polarization=x"]
    setup = load_setup("quickstart_voxel", small)
    mask = load_mask(setup) + 0.3 * np.random.default_rng(0).normal(size=(101, 101))
    in_float64 = exact_renderer(setup.optics, setup.volume, mask, dtype="float64")

    def expected(mask: np.ndarray) -> np.ndarray:
        if model == "scalar":
            emitters = zip(XYZ_UM, PHOTONS, SIGMA_PX, strict=True)
            return BACKGROUND + sum(blur(fft_psf(setup, mask, *at), sigma) for *at, sigma in emitters)
        return BACKGROUND + in_float64(XYZ_UM[None], PHOTONS[None], SIGMA_PX[None], mask)[0].numpy()

    counts = np.random.default_rng(1).poisson(expected(load_mask(setup))).astype(np.float64)

    def misfit(mask: np.ndarray) -> float:
        mean = expected(mask)
        return float(np.sum(mean - counts * np.log(mean)))

    renderer = exact_renderer(setup.optics, setup.volume, np.zeros((101, 101)))
    phase = tf.constant(mask)
    with tf.GradientTape() as tape:
        tape.watch(phase)
        mean = tf.cast(renderer(XYZ_UM[None], PHOTONS[None], SIGMA_PX[None], phase)[0], tf.float64) + BACKGROUND
        value = tf.reduce_sum(mean - counts * tf.math.log(mean))
    gradient = tape.gradient(value, phase).numpy()
    assert not gradient[~renderer.grids.support].any()

    step = 1e-4
    pupil = np.argwhere(renderer.grids.support)
    directions = [np.random.default_rng(2).normal(size=mask.shape), gradient / np.linalg.norm(gradient)]
    for row, column in pupil[[len(pupil) // 2, len(pupil) // 3]]:
        directions.append(np.zeros_like(mask))
        directions[-1][row, column] = 1
    for direction in directions:
        slope = (misfit(mask + step * direction) - misfit(mask - step * direction)) / (2 * step)
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-3, abs=1e-3 * np.abs(gradient).max())
