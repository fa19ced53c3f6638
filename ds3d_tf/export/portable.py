"""A network in the form that other runtimes take: raw counts in, volume out; the caller finds the peaks."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ds3d_tf.common.errors import InputError
from ds3d_tf.export.folded_pixel_net import folded
from ds3d_tf.export.fused_network import FusedNetwork
from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.model.pixel_layers import CHANNELS
from ds3d_tf.model.pixel_net import PixelNet
from ds3d_tf.setup import Setup

# Smaller than any difference of two counts: a constant frame is divided by it, and the result is 0.
_MIN_RANGE = 1e-30


def portable_network(model: Any, setup: Setup) -> keras.Model:
    """Return a Keras model of raw counts, with the normalization inside and batch normalizations folded.

    Its inputs are ``frames``, float32 ``[B, H, W]``, and for ``project_01``, whose range is that of the whole frame,
    ``range``, float32 ``[B, 2]``: smallest and largest count. Its output is the volume ``[B, 4H, 4W, D]``.

    A pixel network's output is its maps ``[B, H, W, 10]``.

    Raises InputError if ``model`` is neither, or sees several frames at once.
    """
    if not isinstance(model, (LocalizationNet, PixelNet)):
        raise InputError(f"the model is a {type(model).__name__}; only localization networks can be exported")
    if isinstance(model, PixelNet) and model.context_frames > 1:
        raise InputError(
            f"the network sees {model.context_frames} frames at once; this format takes single ones, use the SavedModel"
        )
    layer = _Portable(model, setup)
    inputs = [keras.Input((None, None), name="frames")]
    if setup.normalization.kind == "project_01":
        inputs.append(keras.Input((2,), name="range"))
    network = keras.Model(inputs, layer(*inputs))
    # Keras can export a model only after it was called once.
    network([tf.zeros([1, 8, 8]), tf.zeros([1, 2])][: len(inputs)])
    return network


class _Portable(keras.layers.Layer):
    """Normalization and network."""

    def __init__(self, model: LocalizationNet | PixelNet, setup: Setup) -> None:
        super().__init__(name="network", dtype="float32")
        self.network: Any = folded(model) if isinstance(model, PixelNet) else FusedNetwork(model)
        self.normalization = setup.normalization
        self.channels = CHANNELS if isinstance(model, PixelNet) else model.depth_voxels

    def call(self, frames: Any, ranges: Any = None) -> Any:
        section = self.normalization
        if ranges is None:
            return self.network((frames - section.subtract) / section.divide)
        lowest, highest = ranges[:, 0, tf.newaxis, tf.newaxis], ranges[:, 1, tf.newaxis, tf.newaxis]
        return self.network((frames - lowest) / tf.maximum(highest - lowest, _MIN_RANGE))

    def compute_output_spec(self, frames: Any, ranges: Any = None) -> Any:
        return keras.KerasTensor((None, None, None, self.channels), "float32")
