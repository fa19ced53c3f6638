"""The network in layers of Keras only, so that its file loads without this package."""

from __future__ import annotations

from typing import Any

import keras

from ds3d_tf.common.errors import InputError
from ds3d_tf.model.layers import LEAKY_SLOPE, NORM_EPSILON, UpsamplingBlock
from ds3d_tf.model.localization_net import LocalizationNet

INPUT, OUTPUT = "frame", "volume"


def plain_keras(model: Any) -> keras.Model:
    """Return a functional Keras model of built-in layers with the weights of a ``LocalizationNet``, in float32.

    Its input ``frame`` is float32 ``[B, H, W, 1]``, normalized frames, its output ``volume`` float32
    ``[B, 4H, 4W, D]``, confidence in [0, scaling_factor]. Raises InputError for another model.
    """
    if not isinstance(model, LocalizationNet):
        raise InputError(
            f"the model is a {type(model).__name__}; only a LocalizationNet can be exported to this format"
        )
    layers = keras.layers
    copies: list[tuple[keras.Layer, keras.Layer]] = []

    def norm(images: Any, source: Any, name: str) -> Any:
        layer = layers.BatchNormalization(epsilon=NORM_EPSILON, name=f"{name}_norm", dtype="float32")
        copies.append((source, layer))
        return layer(images)

    def convolution(images: Any, source: Any, size: int, dilation: int, name: str) -> Any:
        layer = layers.Conv2D(
            source.filters, size, padding="same", dilation_rate=dilation, name=f"{name}_convolution", dtype="float32"
        )
        copies.append((source, layer))
        return layer(images)

    def block(images: Any, source: Any) -> Any:
        images = convolution(images, source.convolution, 3, source.dilation, source.name)
        images = layers.LeakyReLU(negative_slope=LEAKY_SLOPE, name=f"{source.name}_activation", dtype="float32")(images)
        return norm(images, source.norm, source.name)

    def joined(images: Any, name: str) -> Any:
        return layers.Concatenate(name=f"{name}_with_frame", dtype="float32")([images, frame])

    def added(images: Any, more: Any, name: str) -> Any:
        return layers.Add(name=f"{name}_sum", dtype="float32")([images, more])

    inputs = keras.Input((None, None, 1), name=INPUT, dtype="float32")
    frame = norm(inputs, model.frame_norm, "frame")
    images = block(frame, model.features[0])
    for source in model.features[1:]:
        images = added(images, block(joined(images, source.name), source), source.name)
    images = joined(images, "features")
    for source in model.upsampling:
        if isinstance(source, UpsamplingBlock):
            images = layers.UpSampling2D(2, name=f"{source.name}_doubling", dtype="float32")(images)
        images = block(images, source)
    images = block(images, model.depth[0])
    for source in model.depth[1:]:
        images = added(images, block(images, source), source.name)
    images = convolution(images, model.voxels.convolution, 1, 1, "voxels")
    volume = layers.ReLU(max_value=float(model.scaling_factor), name=OUTPUT, dtype="float32")(images)
    plain = keras.Model(inputs, volume, name="localization_net")
    for source, layer in copies:
        layer.set_weights(source.get_weights())
    return plain
