"""The networks: sizes, names, reach, and the reference's predictions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from ds3d_tf.model import LocalizationNet, OpticsDesignNet
from ds3d_tf.model.layers import UpsamplingBlock
from ds3d_tf.setup import load_setup


def trainable_numbers(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_published_size():
    """DeepSTORM3D's LocalizationCNN at D = 121: 612,703 trainable numbers, 614,455 with BatchNorm's state."""
    model = LocalizationNet(121)
    assert trainable_numbers(model) == 612_703
    assert model.count_params() == 614_455


def test_layers_have_names_to_address_them_by():
    names = [layer.name for layer in LocalizationNet(3, filters=2).layers]
    assert names == (
        ["frame_norm"]
        + [f"features_{i}" for i in range(1, 7)]
        + ["upsampling_1", "upsampling_2", "depth_1", "depth_2", "depth_3", "voxels"]
    )


def test_a_frozen_layer_stays():
    model = LocalizationNet(3, filters=2, max_dilation=4)
    model.get_layer("features_2").trainable = False
    frozen = [np.copy(w) for w in model.get_layer("features_2").get_weights()]
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(np.ones((1, 5, 5), np.float32), np.ones((1, 20, 20, 3), np.float32), verbose=0)
    for old, new in zip(frozen, model.get_layer("features_2").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def disturbed_pixels(model: keras.Model, size: int, scale: int) -> np.ndarray:
    """Distances, in pixels, from the disturbed centre pixel to the pixels whose voxels change."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        # Positive weights, so that nothing cancels or is clipped away.
        value = rng.uniform(0.5, 1, weight.shape)
        weight.assign(value / max(np.prod(weight.shape[:-1]), 1) if len(weight.shape) == 4 else value)
    frames = np.ones((2, size, size), np.float32)
    # So bright that its faintest path, from corner to corner of every kernel, does not drown in rounding.
    frames[1, size // 2, size // 2] += 1e9
    volume = ops.convert_to_numpy(model(frames))
    changed = np.any(volume[1] != volume[0], axis=-1)
    rows, columns = np.nonzero(changed)
    return np.maximum(np.abs(rows // scale - size // 2), np.abs(columns // scale - size // 2))


@pytest.mark.parametrize(("max_dilation", "reach"), [(16, 34), (4, 12)])
def test_reach_is_how_far_a_pixel_is_felt(max_dilation, reach):
    model = LocalizationNet(2, filters=2, max_dilation=max_dilation, scaling_factor=1e30)
    assert model.receptive_radius_px == reach
    assert disturbed_pixels(model, 2 * reach + 7, 4).max() == reach


def test_reach_of_the_optics_design_net():
    model = OpticsDesignNet(2, filters=2, scaling_factor=1e30)
    assert model.receptive_radius_px == 9
    assert disturbed_pixels(model, 25, 1).max() == 9


@pytest.mark.parametrize("shape", [(1, 7, 10), (3, 16, 5), (1, 7, 10, 1)])
def test_frames_of_any_size(shape):
    volume = LocalizationNet(3, filters=2)(np.zeros(shape, np.float32))
    assert volume.shape == (shape[0], 4 * shape[1], 4 * shape[2], 3)


def test_output_is_clipped_to_the_scale():
    model = LocalizationNet(3, filters=2, scaling_factor=0.01)
    volume = ops.convert_to_numpy(model(np.random.default_rng(0).normal(size=(1, 8, 8)).astype(np.float32)))
    assert volume.min() == 0
    assert volume.max() == np.float32(0.01)


def test_upsampling_is_doubling_then_convolution():
    """The evaluation on the small grid equals its definition, borders included, forward and in the kernel's shape."""
    block = UpsamplingBlock(5, seed=3)
    images = np.random.default_rng(2).normal(size=(2, 6, 9, 4)).astype(np.float32)
    block.build(images.shape)
    block.convolution.bias.assign(np.arange(5))
    doubled = images.repeat(2, axis=1).repeat(2, axis=2)
    expected = ops.convert_to_numpy(block.convolution(doubled))
    np.testing.assert_allclose(ops.convert_to_numpy(block.convolve(images)), expected, atol=2e-6)


def test_same_seed_same_weights():
    first, again, other = (LocalizationNet(3, filters=2, seed=seed) for seed in (5, 5, 6))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
        assert len(a.shape) < 4 or not np.array_equal(a.numpy(), c.numpy())
    kernels = [w.numpy().ravel()[:4] for w in first.weights if len(w.shape) == 4]
    assert len({tuple(kernel) for kernel in kernels}) == len(kernels), "layers must not share their random numbers"


def test_unknown_dilation_is_refused():
    with pytest.raises(ValueError, match=r"max_dilation: expected one of \[4, 16\], got 8"):
        LocalizationNet(3, max_dilation=8)


def test_from_setup():
    setup = load_setup("demo3", ["learning.filters=4", "learning.precision=mixed_bfloat16", "learning.max_dilation=4"])
    model = LocalizationNet.from_setup(setup)
    assert (model.depth_voxels, model.filters, model.max_dilation, model.scaling_factor) == (81, 4, 4, 800.0)
    assert model.dtype_policy.name == "mixed_bfloat16"
    design = OpticsDesignNet.from_setup(setup)
    assert (design.depth_voxels, design.filters, design.scaling_factor) == (81, 4, 800.0)


@pytest.mark.parametrize(
    ("weights", "golden"),
    [("tetrapod_storm_demo2", "cnn_Tetrapod_demo2"), ("tetrapod_telomere_demo3", "cnn_Tetrapod_demo3")],
)
def test_the_references_predictions(data, weights, golden):
    """At most 0.02 of 800 from DeepSTORM3D's own network with its own weights."""
    pytest.importorskip("torch", reason="the published weights are PyTorch files")
    from ds3d_tf.model.torch_weights import network_from_state, read_state

    model = network_from_state(read_state(data / "weights" / f"{weights}.pkl"))
    arrays = np.load(data / "golden" / f"{golden}.npz")
    volume = ops.convert_to_numpy(model(arrays["input_normalized"][None]))[0]
    expected = np.moveaxis(arrays["volume"], 0, -1)
    assert expected.max() > 100
    assert np.abs(volume - expected).max() <= 0.02
