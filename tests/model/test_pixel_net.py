"""The pixel network: its cost, its reach, frames of any size, context."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.model import PixelNet

MAX_MULTIPLICATIONS = 450_000
MAX_PARAMETERS = 2_000_000


def random_weights(model: PixelNet, seed: int = 0) -> PixelNet:
    """Weights and normalizations of a network that has learned something, so that nothing cancels."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name = weight.path.rsplit("/", 1)[-1]
        if name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif name in ("beta", "moving_mean", "bias"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


@pytest.mark.parametrize("context", [1, 3])
def test_cost_counted_from_the_layers(context):
    """TensorFlow's own count of the operations of one frame, which knows nothing of our layers."""
    model = PixelNet(context_frames=context)
    size = 64

    def one_frame(frame, *neighbours):
        full, half, quarter = model.encode(frame)
        return model.decode(full, half, [quarter, *neighbours], (size, size))

    specs = [tf.TensorSpec([1, size, size, 1])]
    specs += [tf.TensorSpec([1, size // 4, size // 4, model.filters[2]])] * (context - 1)
    graph = tf.function(one_frame).get_concrete_function(*specs).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
    profile = tf.compat.v1.profiler.profile(graph, options=options.with_empty_output().build())
    convolutions = sum(node.total_float_ops for node in _nodes(profile) if "convolution" in node.name)
    counted = convolutions / 2 / size**2
    assert counted == pytest.approx(model.multiplications_per_pixel, rel=0.02)
    assert model.multiplications_per_pixel <= MAX_MULTIPLICATIONS
    assert model.count_params() <= MAX_PARAMETERS


def _nodes(profile):
    for child in profile.children:
        yield child
        yield from _nodes(child)


def test_reach_is_that_of_the_gradient():
    model = random_weights(PixelNet((4, 4, 4)))
    size, reach = 240, model.receptive_radius_px
    frame = tf.Variable(np.random.default_rng(0).normal(size=(1, size, size)).astype(np.float32))
    seen = []
    for place in (118, 119, 120, 121):
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(model(frame)[0, place, place, :5])
        rows, columns = np.nonzero(tape.gradient(value, frame).numpy()[0])
        seen.append(np.abs(np.concatenate([rows, columns]) - place).max())
    assert max(seen) <= reach
    assert max(seen) >= reach - 4


@pytest.mark.parametrize("shape", [(56, 56), (57, 50), (9, 7), (3, 3)])
def test_frames_of_any_size(shape):
    model = random_weights(PixelNet((4, 4, 4)))
    maps = keras.ops.convert_to_numpy(model(np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)))
    assert maps.shape == (2, *shape, 10)
    assert ((maps[..., 0] > 0) & (maps[..., 0] < 1)).all()
    assert (np.abs(maps[..., 1:3]) <= 1.5).all()
    assert (maps[..., 4:] > 0).all()


def test_a_frame_moved_by_whole_strides_gives_moved_maps():
    """Away from the borders, tiles that begin at multiples of four pixels see what the whole frame gives."""
    model = random_weights(PixelNet((4, 4, 4)))
    frame = np.random.default_rng(0).normal(size=(1, 200, 200)).astype(np.float32)
    whole = keras.ops.convert_to_numpy(model(frame))
    part = keras.ops.convert_to_numpy(model(frame[:, 8:, 4:196]))
    reach = model.receptive_radius_px
    inner = slice(reach, 180 - reach)
    np.testing.assert_allclose(part[:, inner, inner], whole[:, 8:, 4:][:, inner, inner], rtol=1e-4, atol=1e-5)


def test_context_changes_the_answer_and_features_can_be_computed_once():
    model = random_weights(PixelNet((4, 6, 8), context_frames=3))
    recording = np.random.default_rng(0).normal(size=(5, 16, 20)).astype(np.float32)
    triples = np.stack([recording[:-2], recording[1:-1], recording[2:]], axis=-1)
    expected = keras.ops.convert_to_numpy(model(triples))
    full, half, quarter = model.encode(recording[..., None])
    found = model.decode(full[1:-1], half[1:-1], [quarter[:-2], quarter[1:-1], quarter[2:]], (16, 20))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-4, atol=1e-5)
    other = triples.copy()
    other[..., 0] += 1.0
    assert np.abs(keras.ops.convert_to_numpy(model(other)) - expected).max() > 1e-3


def test_a_wrong_context_is_refused():
    with pytest.raises(ValueError, match="context_frames: expected 1 or 3"):
        PixelNet(context_frames=2)
