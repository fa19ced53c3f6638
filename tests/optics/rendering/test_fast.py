"""The fast renderer against the exact one in 64-bit, and what it refuses."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf
from fft_reference import relative_l2

from ds3d_tf.common.errors import InputError
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering import fast_or_exact as fast
from ds3d_tf.optics.rendering.exact import ExactRenderer
from ds3d_tf.optics.rendering.fast import FastRenderer
from ds3d_tf.setup import load_setup


def _fast(setup, **options):
    return FastRenderer(setup.optics, setup.volume, load_mask(setup), setup.blur.sigma_range_px, **options)


@pytest.fixture(scope="module")
def small():
    """A setup of small frames, its fast and exact (64-bit) renderers, and a batch of emitters."""
    setup = load_setup(
        "quickstart_voxel",
        [
            "mask.source=zernike",
            "mask.zernike_rad={6: 1.0, 7: 0.6}",
            "volume.height_px=33",
            "volume.width_px=40",
            "volume.margin_px=0",
            "volume.z_min_um=0",
            "volume.z_max_um=1.2",
            "blur.sigma_range_px=[0.75, 1.25]",
        ],
    )
    exact = ExactRenderer(setup.optics, setup.volume, load_mask(setup), dtype="float64")
    random = np.random.default_rng(3)
    xyz = np.concatenate([random.uniform(-1.7, 1.7, (2, 5, 2)), random.uniform(0, 1.2, (2, 5, 1))], axis=-1)
    return setup, _fast(setup), exact, (xyz, random.uniform(3e3, 2e4, (2, 5)), random.uniform(0.8, 1.2, (2, 5)))


@pytest.mark.parametrize("demo", ["demo1", "demo3", "demo5"])
def test_error_over_the_whole_volume_and_blur_range(data, demo):
    setup = load_setup(demo)
    renderer = fast.fast_or_exact_renderer(setup.optics, setup.volume, load_mask(setup), setup.blur.sigma_range_px)
    assert isinstance(renderer, FastRenderer)
    assert renderer.measured_error(200, seed=1) <= 1e-3
    assert renderer.error <= 1e-3


def test_golden_image(data):
    setup = load_setup("demo1")
    renderer = fast.fast_or_exact_renderer(setup.optics, setup.volume, load_mask(setup), setup.blur.sigma_range_px)
    golden = np.load(data / "golden" / "render_demo1.npz")
    frame = renderer(golden["xyz_um"][None], golden["photons"][None], np.ones((1, 12)))[0]
    assert relative_l2(frame, golden["image"].astype(np.float64)) <= 1e-3


def test_batches_padding_and_chunks(small):
    setup, renderer, exact, (xyz, photons, sigma) = small
    wanted = exact(xyz, photons, sigma).numpy()
    got = tf.function(renderer.__call__)(xyz, photons, sigma)
    assert got.dtype == tf.float32
    assert relative_l2(got, wanted) < 1e-3
    padded = (
        np.concatenate([xyz, np.full((2, 3, 3), np.nan)], axis=1),
        np.concatenate([photons, np.zeros((2, 3))], axis=1),
        np.concatenate([sigma, np.zeros((2, 3))], axis=1),
    )
    assert np.array_equal(renderer(*padded), renderer(xyz, photons, sigma))
    pieces = _fast(setup, chunk_emitters=3)(xyz, photons, sigma)
    assert relative_l2(pieces, got.numpy()) < 1e-5
    empty = renderer(np.zeros((2, 0, 3)), np.zeros((2, 0)), np.zeros((2, 0)))
    assert empty.shape == (2, 33, 40)
    assert not empty.numpy().any()
    assert renderer(xyz, photons, sigma).numpy().min() >= 0


def test_one_blur_and_few_percent_of_blur():
    for sigma_range in ("[1.0, 1.0]", "[0.99, 1.01]"):
        setup = load_setup("quickstart_voxel", [f"blur.sigma_range_px={sigma_range}", "volume.margin_px=0"])
        assert _fast(setup).measured_error(40, seed=2) <= 1e-3


def test_vectorial_model():
    setup = load_setup("quickstart_voxel", ["optics.model=vectorial", "volume.height_px=25", "volume.width_px=25"])
    assert _fast(setup).measured_error(20, seed=2) <= 1e-3


def _large_pixels(camera_pixel_um, model, sigma_range):
    return load_setup(
        "quickstart_voxel",
        [
            "mask.source=zernike",
            "mask.zernike_rad={6: 1.0, 7: 0.6}",
            "mask.size_px=219",
            "optics.wavelength_um=0.605",
            "optics.numerical_aperture=1.45",
            "optics.slm_pixel_um=20",
            "optics.focal_length_um=1.5e5",
            f"optics.camera_pixel_um={camera_pixel_um}",
            f"optics.model={model}",
            "volume.height_px=25",
            "volume.width_px=28",
            "volume.margin_px=2",
            "volume.z_min_um=0",
            "volume.z_max_um=1.2",
            f"blur.sigma_range_px={sigma_range}",
        ],
    )


@pytest.mark.parametrize(
    ("camera_pixel_um", "model", "sigma_range"),
    [(16, "scalar", "[0.99, 1.01]"), (16, "vectorial", "[0.99, 1.01]"), (20, "scalar", "[0.6, 0.7]")],
)
def test_camera_pixels_that_undersample_the_light(camera_pixel_um, model, sigma_range):
    renderer = _fast(_large_pixels(camera_pixel_um, model, sigma_range), margin_px=2)
    assert renderer._basis.folded_by.any()
    assert renderer.measured_error(40, seed=2) <= 1e-3


def test_gradient_of_the_position_with_undersampling_pixels():
    setup = _large_pixels(20, "scalar", "[0.6, 0.7]")
    exact = ExactRenderer(setup.optics, setup.volume, load_mask(setup), dtype="float64")
    xyz, photons, sigma = np.array([[[0.13, -0.37, 0.4]]]), np.full((1, 1), 1e3), np.full((1, 1), 0.65)
    weight = np.random.default_rng(1).normal(size=(1, 25, 28))
    place = tf.constant(xyz)
    with tf.GradientTape() as tape:
        tape.watch(place)
        total = tf.reduce_sum(tf.cast(_fast(setup, margin_px=2)(place, photons, sigma), tf.float64) * weight)
    wanted = []
    for step in 1e-4 * np.eye(3):
        ahead, behind = (np.sum(exact(xyz + move, photons, sigma).numpy() * weight) for move in (step, -step))
        wanted.append((ahead - behind) / 2e-4)
    assert relative_l2(tape.gradient(total, place)[0, 0], np.array(wanted)) < 1e-2


def test_gradients_follow_the_exact_renderer(small):
    _, renderer, exact, inputs = small
    weight = np.random.default_rng(1).normal(size=(2, 33, 40))
    results = []
    for render in (renderer, exact):
        values = [tf.constant(value) for value in inputs]
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = tf.reduce_sum(tf.cast(render(*values), tf.float64) * weight)
        results.append([gradient.numpy() for gradient in tape.gradient(total, values)])
    for got, wanted in zip(*results, strict=True):
        assert got.shape == wanted.shape
        assert relative_l2(got, wanted) < 5e-3


def test_emitters_out_of_range_are_refused(small):
    _, renderer, _, (xyz, photons, sigma) = small
    for axis, value in ((2, 1.3), (2, -0.1), (0, 9.0), (1, -9.0)):
        moved = xyz.copy()
        moved[0, 0, axis] = value
        with pytest.raises(tf.errors.InvalidArgumentError, match="emitters must lie"):
            renderer(moved, photons, sigma)
    with pytest.raises(tf.errors.InvalidArgumentError, match="emitters must lie"):
        renderer(xyz, photons, 2 * sigma)
    with pytest.raises(ValueError, match="one mask"):
        renderer(xyz, photons, sigma, mask=np.zeros((101, 101)))


def test_too_large_an_error_or_frame_is_refused(small, caplog, monkeypatch):
    setup, *_ = small
    monkeypatch.setattr(FastRenderer, "measured_error", lambda self, count, seed: 2e-3)
    with pytest.raises(InputError, match=r"error for this mask is 2\.0e-03, more than 1\.0e-03"):
        _fast(setup)
    fast._cached.cache_clear()
    with caplog.at_level(logging.WARNING):
        arguments = (setup.optics, setup.volume, load_mask(setup), setup.blur.sigma_range_px)
        assert isinstance(fast.fast_or_exact_renderer(*arguments), ExactRenderer)
    assert "exact renderer" in caplog.text
    fast._cached.cache_clear()
    wide = setup.volume.model_copy(update={"width_px": 150})
    with pytest.raises(InputError, match="larger than the Fourier grid"):
        FastRenderer(setup.optics, wide, load_mask(setup), (0.75, 1.25))


def test_asking_again_costs_nothing(small):
    setup, *_ = small
    arguments = (setup.optics, setup.volume, load_mask(setup), setup.blur.sigma_range_px)
    assert fast.fast_or_exact_renderer(*arguments) is fast.fast_or_exact_renderer(*arguments)
