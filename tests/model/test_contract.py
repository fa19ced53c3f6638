"""What every layer, network, loss and metric of this package keeps to: the one shared contract of Keras objects."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from ds3d_tf.model import (
    EmitterLoss,
    LocalizationNet,
    OpticsDesignNet,
    PixelJaccard,
    PixelNet,
    VolumeJaccard,
    VolumeLoss,
)
from ds3d_tf.model.layers import ConvolutionBlock, UpsamplingBlock, VoxelOutput
from ds3d_tf.model.pixel_layers import ConvolutionNorm, EmitterMaps, ResidualBlock
from ds3d_tf.simulation.pixel_grid import PixelGrid
from ds3d_tf.simulation.voxel_grid import VoxelGrid

GRID = VoxelGrid(pixel_um=0.11, z_min_um=0.0, z_max_um=2.0, depth_voxels=5)
POLICIES = ["float32", "mixed_bfloat16"]

# name → (maker, shape of one batch of inputs)
LAYERS = {
    "ConvolutionBlock": (lambda dtype: ConvolutionBlock(6, dilation=2, seed=1, dtype=dtype), (2, 9, 7, 3)),
    "UpsamplingBlock": (lambda dtype: UpsamplingBlock(6, seed=1, dtype=dtype), (2, 9, 7, 3)),
    "VoxelOutput": (lambda dtype: VoxelOutput(5, 80.0, seed=1), (2, 9, 7, 3)),
    "LocalizationNet": (lambda dtype: LocalizationNet(5, filters=4, max_dilation=4, dtype=dtype), (2, 9, 7)),
    "LocalizationNet of pixels": (lambda dtype: LocalizationNet(5, 4, 4, lateral_voxels=1, dtype=dtype), (2, 9, 7)),
    "OpticsDesignNet": (lambda dtype: OpticsDesignNet(5, filters=4, dtype=dtype), (2, 9, 7)),
    "ConvolutionNorm": (lambda dtype: ConvolutionNorm(6, 2, stride=2, seed=1, dtype=dtype), (2, 8, 6, 3)),
    "ResidualBlock": (lambda dtype: ResidualBlock(6, dilation=2, seed=1, dtype=dtype), (2, 9, 7, 3)),
    "EmitterMaps": (lambda dtype: EmitterMaps((1.0, 1.0, 2.0, 0.5), seed=1), (2, 9, 7, 3)),
    "PixelNet": (lambda dtype: PixelNet((4, 6, 8), seed=1, dtype=dtype), (2, 9, 7)),
    "PixelNet of three frames": (lambda dtype: PixelNet((4, 6, 8), 3, seed=1, dtype=dtype), (2, 9, 7, 3)),
}
COARSE = VoxelGrid(pixel_um=0.11, z_min_um=0.0, z_max_um=2.0, depth_voxels=5, voxels_per_pixel=1)
PIXEL_GRID = PixelGrid(0.11, 0.0, 2.0, photon_scale=1000.0, background_scale=10.0)
# name → (maker, shape of the prediction of two frames)
SCORES = {
    "VolumeLoss": (lambda: VolumeLoss(GRID, 800.0), (2, 36, 28, 5)),
    "VolumeLoss of blobs": (lambda: VolumeLoss(COARSE, 800.0, blobs=True), (2, 9, 7, 5)),
    "VolumeJaccard": (lambda: VolumeJaccard(GRID, 800.0), (2, 36, 28, 5)),
    "EmitterLoss": (lambda: EmitterLoss(PIXEL_GRID), (2, 9, 7, 10)),
    "PixelJaccard": (lambda: PixelJaccard(PIXEL_GRID), (2, 9, 7, 10)),
}


def example(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def emitters(batch: int = 2) -> np.ndarray:
    rng = np.random.default_rng(1)
    positions = rng.uniform([-0.3, -0.3, 0.1, 1, 100, 1], [0.3, 0.3, 1.9, 1, 1000, 9], size=(batch, 3, 6))
    return positions.astype(np.float32)


def prediction(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return 100 * np.abs(example(shape)) if "Volume" in name else np.abs(example(shape)) / 4 + 0.01


def numbers(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


@pytest.fixture(params=LAYERS)
def kind(request) -> str:
    return request.param


@pytest.mark.parametrize("policy", POLICIES)
def test_config_round_trip(kind, policy):
    make, shape = LAYERS[kind]
    layer = make(policy)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    assert again.dtype_policy.name == layer.dtype_policy.name
    x = example(shape)
    # The seed travels in the config, so even fresh weights come out the same.
    np.testing.assert_array_equal(numbers(again(x)), numbers(layer(x)))


@pytest.mark.parametrize("policy", POLICIES)
def test_symbolic_and_eager_shapes_agree(kind, policy):
    make, shape = LAYERS[kind]
    layer = make(policy)
    symbolic = layer(keras.KerasTensor(shape, "float32"))
    unknown = layer(keras.KerasTensor((None, None, None, *shape[3:]), "float32"))
    eager = layer(example(shape))
    assert symbolic.shape == tuple(eager.shape) == tuple(layer.compute_output_shape(shape))
    assert unknown.shape == (None, None, None, eager.shape[-1])
    assert keras.backend.standardize_dtype(symbolic.dtype) == keras.backend.standardize_dtype(eager.dtype)


@pytest.mark.parametrize("policy", POLICIES)
def test_precision(kind, policy):
    make, shape = LAYERS[kind]
    layer = make(policy)
    result = layer(example(shape))
    whole = kind in ("VoxelOutput", "EmitterMaps", "LocalizationNet", "OpticsDesignNet") or "Net" in kind
    assert keras.backend.standardize_dtype(result.dtype) == ("float32" if whole or policy == "float32" else "bfloat16")
    assert all(keras.backend.standardize_dtype(weight.dtype) == "float32" for weight in layer.weights)
    full = LAYERS[kind][0]("float32")
    if layer.weights:
        full(example(shape))
        full.set_weights(layer.get_weights())
    scale = np.abs(numbers(full(example(shape)))).max()
    np.testing.assert_allclose(numbers(result), numbers(full(example(shape))), atol=0.05 * scale)


@pytest.mark.parametrize("policy", POLICIES)
def test_one_fit_moves_every_weight(kind, policy):
    make, shape = LAYERS[kind]
    layer = make(policy)
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    before = [numbers(weight).copy() for weight in model.weights]
    x = example(shape)
    history = model.fit(x, 1 + numbers(model(x)) ** 2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert len(before) == len(layer.weights)
    unmoved = [w.path for w, old in zip(model.weights, before, strict=True) if np.array_equal(numbers(w), old)]
    assert not unmoved


@pytest.mark.parametrize("policy", POLICIES)
def test_keras_file_reload(kind, policy, tmp_path):
    make, shape = LAYERS[kind]
    layer = make(policy)
    x = example(shape)
    model = layer
    if not isinstance(layer, keras.Model):
        inputs = keras.Input(shape[1:])
        model = keras.Model(inputs, layer(inputs))
    expected = numbers(model(x))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numbers(again(x)), expected)


@pytest.mark.parametrize("name", SCORES)
def test_scores_round_trip(name):
    make, shape = SCORES[name]
    score = make()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(score))
    assert type(again) is type(score)
    assert again.get_config() == score.get_config()
    assert again.grid == score.grid
    predicted = prediction(name, shape)
    assert float(again(emitters(), predicted)) == float(score(emitters(), predicted))


@pytest.mark.parametrize("name", SCORES)
def test_scores_stay_float32_under_mixed_precision(name):
    """A bfloat16 prediction is scored in float32: as exactly as if it had been cast by hand."""
    make, shape = SCORES[name]
    predicted = keras.ops.cast(prediction(name, shape), "bfloat16")
    result = make()(emitters(), predicted)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    assert float(result) == float(make()(emitters(), numbers(predicted)))


NETWORKS = {
    "voxel": (
        lambda policy: LocalizationNet(5, filters=4, max_dilation=4, dtype=policy),
        ("VolumeLoss", "VolumeJaccard"),
    ),
    "pixel": (lambda policy: PixelNet((4, 6, 8), dtype=policy), ("EmitterLoss", "PixelJaccard")),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("policy", POLICIES)
def test_scores_train_and_reload_with_a_network(network, policy, tmp_path):
    make, (loss, metric) = NETWORKS[network]
    model = make(policy)
    model.compile("adam", SCORES[loss][0](), metrics=[SCORES[metric][0]()], run_eagerly=policy == "float32")
    x = example((2, 9, 7))
    history = model.fit(x, emitters(), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert 0 <= history["jaccard"][0] <= 1
    expected = model.evaluate(x, emitters(), verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.evaluate(x, emitters(), verbose=0, return_dict=True) == expected
