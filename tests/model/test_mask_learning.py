"""The microscope as a layer, and learning through it."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.model.imaging_layer import ImagingLayer
from ds3d_tf.model.mask_learning_net import MaskLearningNet
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.zernike import zernike
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.simulation.imaging_stream import imaging_dataset
from ds3d_tf.simulation.voxel_grid import VoxelGrid
from ds3d_tf.training import compile_network

TINY = [
    "volume.height_px=16",
    "volume.width_px=18",
    "volume.margin_px=4",
    "volume.depth_voxels=5",
    "emitters.count_range=[1, 4]",
    "learning.filters=4",
    "learning.batch_size=4",
    "mask.learn=true",
    "mask.learning_rate=0.05",
]


@pytest.fixture(scope="module")
def setup() -> Setup:
    return load_setup("quickstart_voxel", TINY)


@pytest.fixture(scope="module")
def batch(setup: Setup):
    return next(iter(imaging_dataset(setup)))


@pytest.fixture(scope="module")
def start_rad() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(101, 101))


def compiled(model: MaskLearningNet, setup: Setup) -> MaskLearningNet:
    grid = dataclasses.replace(VoxelGrid.from_setup(setup), voxels_per_pixel=1)
    compile_network(model, setup, jit_compile=False, grid=grid)
    model.run_eagerly = True  # a step or two cost less than their graph
    return model


@pytest.mark.parametrize("normalization", ["factors", "project_01"])
def test_frames_are_light_noise_and_normalization(setup, batch, start_rad, normalization) -> None:
    setup = setup.replace({"normalization.kind": normalization, "normalization.subtract": 3.0})
    parts = {name: value.numpy() for name, value in batch[0].items()}
    frames = ImagingLayer.from_setup(setup, start_rad)(parts).numpy()
    light = exact_renderer(setup.optics, setup.volume, start_rad, dtype="float64")(
        parts["xyz_um"], parts["photons"], parts["blur_sigma_px"]
    )
    mean = light.numpy() + parts["background"]
    counts = np.maximum(mean + np.sqrt(mean) * parts["shot_noise"] + parts["dark_counts"], 0)
    if normalization == "factors":
        expected = (counts - 3) / setup.normalization.divide
    else:
        low, high = counts.min(axis=(1, 2), keepdims=True), counts.max(axis=(1, 2), keepdims=True)
        expected = (counts - low) / (high - low)
    np.testing.assert_allclose(frames, expected, atol=2e-4 * expected.max())


def test_labels_are_as_wide_as_pixels(setup, batch) -> None:
    grid = dataclasses.replace(VoxelGrid.from_setup(setup), voxels_per_pixel=1)
    voxels = keras.ops.convert_to_numpy(grid.voxels(batch[1][..., :3], (16, 18)))
    pixel = setup.optics.pixel_um
    x, y = batch[1].numpy()[..., 0], batch[1].numpy()[..., 1]
    np.testing.assert_array_equal(voxels[..., 1], np.round(x / pixel).astype(int) + 9)
    np.testing.assert_array_equal(voxels[..., 0], np.round(y / pixel).astype(int) + 8)
    back = keras.ops.convert_to_numpy(grid.positions_um(voxels, (16, 18)))
    assert np.abs(back[..., 0] - x).max() <= pixel / 2 * 1.0001


@pytest.mark.parametrize(("basis", "policy"), [("pixels", "float32"), ("zernike", "mixed_bfloat16")])
def test_config_and_file_round_trip(setup, batch, start_rad, basis, policy, tmp_path) -> None:
    own = setup.replace({"mask.basis": basis, "mask.highest_mode": 8, "learning.precision": policy})
    model = compiled(MaskLearningNet.from_setup(own, start_rad), own)
    symbolic = model(keras.tree.map_structure(lambda part: keras.KerasTensor(part.shape, "float32"), batch[0]))
    assert symbolic.shape == (4, 16, 18, 5) and symbolic.dtype == "float32"
    assert np.isfinite(model.fit(batch[0], batch[1], batch_size=4, verbose=0).history["loss"]).all()
    expected = model(batch[0]).numpy()
    assert expected.shape == symbolic.shape and expected.dtype == np.float32
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again.mask_rad, model.mask_rad)
    np.testing.assert_array_equal(again(batch[0]).numpy(), expected)
    fresh = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model.imaging))
    assert fresh.get_config() == model.imaging.get_config() and fresh.optics == own.optics


def test_one_step_moves_the_mask_by_its_own_learning_rate_and_only_where_light_passes(setup, batch, start_rad) -> None:
    model = compiled(MaskLearningNet.from_setup(setup, start_rad), setup)
    before = model.mask_rad
    model.train_on_batch(*batch)
    change = model.mask_rad - before
    support = model.imaging.renderer.grids.support
    assert not change[~support].any()
    # Adam's first step is the learning rate, up or down, wherever there is a gradient that its epsilon does not drown
    sizes = np.abs(change[support])
    assert sizes.max() == pytest.approx(0.05, rel=0.01) and (sizes > 0.01).mean() > 0.9


def test_a_fixed_mask_stays_and_zernike_changes_are_zernike_modes(setup, batch, start_rad) -> None:
    fixed = compiled(MaskLearningNet.from_setup(setup.replace({"mask.learn": False}), start_rad), setup)
    before = fixed.mask_rad
    fixed.train_on_batch(*batch)
    np.testing.assert_array_equal(fixed.mask_rad, before)
    np.testing.assert_allclose(before, start_rad, atol=1e-6)

    own = setup.replace({"mask.basis": "zernike", "mask.highest_mode": 8})
    model = compiled(MaskLearningNet.from_setup(own, start_rad), own)
    assert not np.abs(model.mask_rad - before).any()
    model.train_on_batch(*batch)
    grids = model.imaging.renderer.grids
    inside = grids.pupil_radius < 1
    modes = np.stack([zernike(i, grids.pupil_x[None, :], grids.pupil_x[:, None])[inside] for i in range(4, 9)])
    change = model.mask_rad - before
    assert not change[~inside].any()
    coefficients, *_ = np.linalg.lstsq(modes.T, change[inside], rcond=None)
    np.testing.assert_allclose(coefficients @ modes, change[inside], atol=1e-5)
    np.testing.assert_allclose(np.abs(coefficients), 0.05, rtol=0.02)


def test_gradients_reach_the_mask_through_noise_and_normalization(setup, batch, start_rad) -> None:
    """Of the whole way from mask to frames, against differences along the gradient."""
    layer = ImagingLayer.from_setup(setup.replace({"normalization.kind": "project_01"}), start_rad)
    weight = np.random.default_rng(3).normal(size=(4, 16, 18))

    def value(frames: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(frames, tf.float64) * weight)

    with tf.GradientTape() as tape:
        total = value(layer(batch[0]))
    gradient = tape.gradient(total, layer.change.value).numpy() / layer.step_ratio
    direction = gradient / np.linalg.norm(gradient)
    ends = []
    for sign in (1, -1):
        layer.start.assign(start_rad + sign * 0.01 * direction)
        ends.append(float(value(layer(batch[0]))))
    assert np.linalg.norm(gradient) == pytest.approx((ends[0] - ends[1]) / 0.02, rel=2e-3)
