"""Spectra of images that a camera undersamples, against images sampled one by one."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.rendering.undersampling import folded_orders, folds, samples_per_pixel
from ds3d_tf.setup import load_setup


@pytest.mark.parametrize("fineness", [2, 3])
@pytest.mark.parametrize("period_x", [6, 7])
def test_orders_that_turn_with_the_place_add_up_to_what_the_camera_sees(fineness, period_x):
    periods = (5, period_x)
    random = np.random.default_rng(fineness)
    orders = [(ky, kx) for ky in range(-6, 7) for kx in range(-6, 7) if 2 * max(abs(ky), abs(kx)) < fineness * 5]
    waves = [(ky, kx, random.normal(), random.uniform(0, 7)) for ky, kx in orders]

    def image(y, x):
        turns = [(ky * y / 5 + kx * x / period_x, size, angle) for ky, kx, size, angle in waves]
        return sum(size * np.cos(2 * np.pi * turn + angle) for turn, size, angle in turns)

    fine = image(np.arange(5 * fineness)[:, None] / fineness, np.arange(period_x * fineness) / fineness)
    spectrum = np.fft.fft2(fine)[None] / fine.size
    move_y, move_x = 0.31, -1.77
    camera = image(np.arange(5)[:, None] - move_y, np.arange(period_x) - move_x)
    wanted = np.fft.rfft2(camera) / camera.size

    seen = folded_orders(spectrum, periods, (0, 0))
    for fold in folds(fineness):
        for sign in (1, -1):
            turn = np.exp(-2j * np.pi * sign * (fold[0] * move_y + fold[1] * move_x))
            seen = seen + turn * folded_orders(spectrum, periods, (sign * fold[0], sign * fold[1]))
    ky, kx = np.fft.fftfreq(5, 1 / 5), np.arange(period_x // 2 + 1)
    got = seen[0] * np.exp(-2j * np.pi * (ky[:, None] * move_y / 5 + kx * move_x / period_x))
    inside = 2 * kx < period_x
    np.testing.assert_allclose(got[:, inside], wanted[:, inside], atol=1e-12)


def test_samples_follow_from_the_pixel_and_the_finest_detail():
    # 2 · (2 NA · pixel / λ) samples, NA limited by water: 0.70, 1.41 and 1.76
    for pixel_um, wanted in ((8.0, 1), (16.0, 2), (20.0, 2)):
        changes = ["mask.source=tetrapod", "mask.size_px=219", "optics.wavelength_um=0.605", "optics.slm_pixel_um=20"]
        changes += ["optics.focal_length_um=1.5e5", f"optics.camera_pixel_um={pixel_um}"]
        setup = load_setup("demo1", changes)
        renderer = exact_renderer(setup.optics, setup.volume, load_mask(setup))
        assert samples_per_pixel(renderer.grids) == wanted


@pytest.mark.parametrize("model", ["scalar", "vectorial"])
def test_finer_samples_hold_the_camera_s(model):
    setup = load_setup("quickstart_voxel", [f"optics.model={model}"])
    place = np.array([[0.21, -0.13, 0.6]])
    coarse, fine = (
        exact_renderer(
            setup.optics,
            setup.volume.model_copy(update={"height_px": 20 * samples, "width_px": 22 * samples}),
            load_mask(setup),
            dtype="float64",
            spacing_px=1 / samples,
        ).psf(place, np.ones(1))[0]
        for samples in (1, 3)
    )
    np.testing.assert_allclose(fine[::3, ::3], coarse, rtol=1e-9, atol=1e-15)
