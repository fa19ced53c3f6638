"""The pixel network with its batch normalizations folded into the convolutions: the form of all exports."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ds3d_tf.model.layers import NORM_EPSILON
from ds3d_tf.model.pixel_layers import ConvolutionNorm
from ds3d_tf.model.pixel_net import PixelNet


def folded(model: PixelNet) -> PixelNet:
    """Return a float32 network that predicts what ``model`` does, without batch normalizations after convolutions.

    A normalization after a convolution is a factor of its kernel and a bias, at the frame's border, too.
    """
    if not model.has_norm:
        return model
    plain = PixelNet.from_config({**model.get_config(), "norm": False, "dtype": "float32"})
    for own, source in zip(_convolutions(plain), _convolutions(model), strict=True):
        scale, shift = _affine(source.norm)
        kernel = np.asarray(keras.ops.convert_to_numpy(source.convolution.kernel), np.float64)
        own.convolution.set_weights([(kernel * scale).astype(np.float32), shift.astype(np.float32)])
    plain.frame_norm.set_weights(model.frame_norm.get_weights())
    plain.maps.set_weights(model.maps.get_weights())
    return plain


def in_float32(model: PixelNet) -> PixelNet:
    """Return the network itself, or, if it computes in a shorter format, a copy with its weights that does not."""
    if model.compute_dtype == "float32":
        return model
    copy = PixelNet.from_config({**model.get_config(), "dtype": "float32"})
    copy.set_weights(model.get_weights())
    return copy


def _convolutions(model: PixelNet) -> list[Any]:
    """Return the layers to fold, in an order that depends on the architecture only."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, ConvolutionNorm) and layer.weights]


def _affine(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in norm.get_weights())
    scale = gamma / np.sqrt(variance + NORM_EPSILON)
    return scale, beta - mean * scale
