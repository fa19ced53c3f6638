"""The exact renderer against golden renders, a second formula, finite differences and conservation of photons."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from fft_reference import blur, fft_psf, relative_l2

from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact import ExactRenderer
from ds3d_tf.setup import load_setup

SMALL = ("volume.height_px=33", "volume.width_px=40", "volume.margin_px=8")


@pytest.fixture(scope="module")
def small():
    """A setup of small frames with an asymmetric mask, its mask, and five emitters."""
    setup = load_setup("demo1", ["mask.source=zernike", "mask.zernike_rad={6: 1.0, 7: 0.6, 12: 0.4}", *SMALL])
    random = np.random.default_rng(3)
    xyz = np.column_stack([random.uniform(-1.2, 1.2, (5, 2)), random.uniform(0, 4, 5)])
    return setup, load_mask(setup), xyz, random.uniform(3e3, 2e4, 5), random.uniform(0.8, 1.3, 5)


@pytest.mark.parametrize("demo", ["demo1", "demo3"])
def test_golden_renders(data, demo):
    setup = load_setup(demo)
    golden = np.load(data / "golden" / f"render_{demo}.npz")
    renderer = ExactRenderer(setup.optics, setup.volume, load_mask(setup))
    singles = renderer.psf(golden["xyz_um"], golden["photons"]).numpy()
    assert singles.dtype == np.float32
    assert max(map(relative_l2, singles, golden["psf_per_emitter"].astype(np.float64))) <= 1e-5
    image = tf.function(renderer.__call__)(golden["xyz_um"][None], golden["photons"][None], np.ones((1, 12)))
    assert relative_l2(image[0], golden["image"].astype(np.float64)) <= 1e-5


@pytest.mark.parametrize("demo", ["demo1", "demo3"])
def test_golden_pupil(data, demo):
    setup = load_setup(demo)
    golden = np.load(data / "golden" / f"render_{demo}.npz")
    grids = ExactRenderer(setup.optics, setup.volume, load_mask(setup)).grids
    assert np.array_equal(grids.support, golden["circ"].astype(bool))
    np.testing.assert_allclose(grids.axial_rad_per_um, golden["Zgrid"], atol=1e-10)
    np.testing.assert_allclose(grids.lateral_rad_per_um, golden["Xgrid_row"], rtol=1e-12)


def test_equals_plain_fft_with_own_blurs(small):
    setup, mask, xyz, photons, sigma = small
    renderer = ExactRenderer(setup.optics, setup.volume, mask)
    wanted = sum(blur(fft_psf(setup, mask, p, n), s) for p, n, s in zip(xyz, photons, sigma, strict=True))
    assert relative_l2(renderer(xyz[None], photons[None], sigma[None])[0], wanted) < 3e-6
    double = ExactRenderer(setup.optics, setup.volume, mask, dtype="float64")
    assert relative_l2(double(xyz[None], photons[None], sigma[None])[0], wanted) < 1e-13


def test_photon_budget():
    setup = load_setup("demo1", ["mask.source=flat", "volume.height_px=203", "volume.width_px=203"])
    renderer = ExactRenderer(setup.optics, setup.volume, load_mask(setup), dtype="float64")
    images = renderer.psf(np.array([[0.0, 0.0, 0.5], [2.0, -1.0, 3.5]]), np.array([1000.0, 5000.0]))
    np.testing.assert_allclose(tf.reduce_sum(images, axis=[1, 2]), [1000.0, 5000.0], rtol=1e-12)


def test_padding_contributes_nothing_and_has_finite_gradients(small):
    setup, mask, xyz, photons, sigma = small
    renderer = ExactRenderer(setup.optics, setup.volume, mask)
    plain = renderer(xyz[None], photons[None], sigma[None])
    padded_xyz = np.concatenate([xyz, np.full((3, 3), np.nan)])[None]
    padded = [
        tf.constant(v) for v in (padded_xyz, np.append(photons, [0, 0, 0])[None], np.append(sigma, [0, 0, 0])[None])
    ]
    mask = tf.constant(mask)
    with tf.GradientTape() as tape:
        tape.watch([*padded, mask])
        frames = renderer(*padded, mask=mask)
    assert np.array_equal(frames, plain)
    gradients = tape.gradient(frames, [*padded, mask])
    assert all(np.isfinite(g).all() for g in gradients)
    assert not gradients[0][0, 5:].numpy().any()


def test_frames_without_emitters_are_empty(small):
    setup, mask, *_ = small
    renderer = ExactRenderer(setup.optics, setup.volume, mask)
    frames = renderer(np.zeros((2, 0, 3)), np.zeros((2, 0)), np.zeros((2, 0)))
    assert frames.shape == (2, 33, 40)
    assert not frames.numpy().any()


def test_chunk_size_and_batching_change_nothing(small):
    setup, mask, xyz, photons, sigma = small
    batch = [np.stack([v, v[::-1]]) for v in (xyz, photons, sigma)]
    whole = ExactRenderer(setup.optics, setup.volume, mask, chunk_emitters=64)(*batch)
    for chunk in (1, 3):
        parts = ExactRenderer(setup.optics, setup.volume, mask, chunk_emitters=chunk)(*batch)
        assert relative_l2(parts, whole.numpy()) < 1e-6
    assert relative_l2(whole[0], whole[1].numpy()) < 1e-6


def test_gradients_equal_finite_differences(small):
    setup, mask, xyz, photons, sigma = small
    weight = np.random.default_rng(1).normal(size=(33, 40))

    def loss(mask, xyz, photons, sigma):
        images = (blur(fft_psf(setup, mask, p, n), s) for p, n, s in zip(xyz, photons, sigma, strict=True))
        return float((weight * sum(images)).sum())

    values = [mask, xyz, photons, sigma]
    for dtype, tolerance in (("float64", 1e-6), ("float32", 1e-4)):
        renderer = ExactRenderer(setup.optics, setup.volume, mask, chunk_emitters=2, dtype=dtype)

        @tf.function
        def gradients(mask, xyz, photons, sigma, renderer=renderer):
            with tf.GradientTape() as tape:
                tape.watch([mask, xyz, photons, sigma])
                frames = renderer(xyz[None], photons[None], sigma[None], mask=mask)
                total = tf.reduce_sum(tf.cast(frames[0], tf.float64) * weight)
            return tape.gradient(total, [mask, xyz, photons, sigma])

        got = [g.numpy() for g in gradients(*map(tf.constant, values))]
        random = np.random.default_rng(2)
        for place, (value, step) in enumerate(zip(values, (1e-4, 1e-4, 1.0, 1e-4), strict=True)):
            direction = random.normal(size=value.shape)
            ends = []
            for sign in (1, -1):
                moved = list(values)
                moved[place] = value + sign * step * direction
                ends.append(loss(*moved))
            slope = (ends[0] - ends[1]) / (2 * step)
            scale = np.linalg.norm(got[place]) * np.linalg.norm(direction) / np.sqrt(value.size)
            assert abs((got[place] * direction).sum() - slope) < tolerance * max(abs(slope), scale), (dtype, place)


def test_frame_larger_than_the_fourier_grid_shows_an_emitter_once(small):
    setup, mask, *_ = small
    frame = setup.volume.model_copy(update={"height_px": 290, "width_px": 420})
    renderer = ExactRenderer(setup.optics, frame, mask, dtype="float64")
    image = renderer.psf(np.array([[-10.0, 3.0, 2.0]]), np.array([100.0]))[0].numpy()
    assert image.sum() == pytest.approx(100, rel=1e-9)
    column, row = 210 - 10.0 / setup.optics.pixel_um, 145 + 3.0 / setup.optics.pixel_um
    assert abs((image.sum(0) * np.arange(420)).sum() / image.sum() - column) < 1
    assert abs((image.sum(1) * np.arange(290)).sum() / image.sum() - row) < 1
