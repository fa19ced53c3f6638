"""The network as a SavedModel evaluates it: batch normalizations folded into convolutions, in float32 or bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ds3d_tf.model.layers import LEAKY_SLOPE, UpsamplingBlock
from ds3d_tf.model.localization_net import LocalizationNet


class FusedNetwork(tf.Module):
    """The same function as a ``LocalizationNet``'s prediction, with fewer passes over its large images.

    A block is convolution → LeakyReLU → a·y + b. LeakyReLU commutes with |a|, so |a| goes into the convolution, and
    the sign of a, rarely negative, into a separate product or the next convolution. b cannot become a bias of the next
    convolution, because at the frame's border the padding is zero, not b. Instead it becomes the kernel of one more
    input channel that holds ones, or it is added where that is cheaper. Weights are float32; each call chooses between
    float32 and bfloat16.
    """

    def __init__(self, model: LocalizationNet) -> None:
        """Fold the weights of ``model``, which is neither changed nor kept."""
        super().__init__()
        self.dilations = [block.dilation for block in model.features]
        self.scaling_factor = float(model.scaling_factor)
        scale, shift = _norm(model.frame_norm)
        self.frame_scale, self.frame_shift = _variable(scale), _variable(shift)

        self.features: list[Weights] = []
        self.depth: list[Weights] = []
        shift = np.zeros(0)
        for block in model.features:
            kernel, bias = _weights(block.convolution)
            if self.features:
                kernel = _with_ones_channel(kernel, shift)
            scale, own_shift = _norm(block.norm)
            self.features.append(_scaled(kernel, bias, scale))
            shift = shift + own_shift if len(self.features) > 1 else own_shift

        self.doubles: list[bool] = []
        self.upsampling: list[tuple[tf.Variable, tf.Variable, tf.Variable]] = []
        sign = np.ones(len(shift))
        for block in model.upsampling:
            kernel, bias = _weights(block.convolution)
            if self.upsampling:
                kernel = kernel * sign[:, np.newaxis]
            else:
                kernel = _with_ones_channel(kernel, shift)
            scale, shift = _norm(block.norm)
            sign = np.where(scale < 0, -1.0, 1.0)
            kernel, bias = kernel * abs(scale), bias * abs(scale)
            doubles = isinstance(block, UpsamplingBlock)
            self.doubles.append(doubles)
            kernel = _transposed_kernel(kernel) if doubles else kernel
            self.upsampling.append((_variable(kernel), _variable(bias), _variable(sign * shift)))

        shift = np.zeros(0)
        for block in model.depth:
            kernel, bias = _weights(block.convolution)
            kernel = _with_ones_channel(kernel, shift) if self.depth else kernel * sign[:, np.newaxis]
            scale, own_shift = _norm(block.norm)
            # The first block makes the channel of ones, the others leave it as it is.
            kernel = np.pad(kernel, [(0, 0)] * 3 + [(0, 1)])
            bias, scale = np.append(bias, 0.0 if self.depth else 1.0), np.append(scale, 1.0)
            shift = shift + own_shift if self.depth else own_shift
            self.depth.append(_scaled(kernel, bias, scale))

        kernel, bias = _weights(model.voxels.convolution)
        self.voxels = (_variable(_with_ones_channel(kernel, shift)), _variable(bias))

    def __call__(self, frames: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
        """Return the volume, ``dtype`` ``[B, 4H, 4W, D]``, confidence in [0, scaling_factor].

        Args:
            frames: float32 ``[B, H, W]``, normalized frames.
            dtype: float32 or bfloat16, in which all but the first normalization is done.
        """
        frame = tf.cast(frames * self.frame_scale + self.frame_shift, dtype)[..., tf.newaxis]
        images = _add(None, _block(frame, self.features[0], self.dilations[0]), self.features[0])
        frame = tf.concat([frame, tf.ones_like(frame)], axis=-1)
        for weights, dilation in zip(self.features[1:], self.dilations[1:], strict=True):
            images = _add(images, _block(tf.concat([images, frame], axis=-1), weights, dilation), weights)
        images = tf.concat([images, frame], axis=-1)
        for doubles, (kernel, bias, shift) in zip(self.doubles, self.upsampling, strict=True):
            if doubles:
                shape = tf.shape(images)
                shape = tf.stack([shape[0], 2 * shape[1], 2 * shape[2], kernel.shape[2]])
                images = tf.nn.conv2d_transpose(images, tf.cast(kernel, dtype), shape, strides=2, padding="SAME")
            else:
                images = tf.nn.conv2d(images, tf.cast(kernel, dtype), 1, "SAME")
            images = tf.nn.leaky_relu(tf.nn.bias_add(images, tf.cast(bias, dtype)), LEAKY_SLOPE)
            images = tf.nn.bias_add(images, tf.cast(shift, dtype))
        images = _add(None, _block(images, self.depth[0], 1), self.depth[0])
        for weights in self.depth[1:]:
            images = _add(images, _block(images, weights, 1), weights)
        kernel, bias = self.voxels
        volume = tf.nn.bias_add(tf.nn.conv2d(images, tf.cast(kernel, dtype), 1, "SAME"), tf.cast(bias, dtype))
        return tf.minimum(tf.nn.relu(volume), tf.cast(self.scaling_factor, dtype))


Weights = tuple[tf.Variable, tf.Variable, tf.Variable | None]


def _block(images: tf.Tensor, weights: Weights, dilation: int) -> tf.Tensor:
    kernel, bias, _ = weights
    images = tf.nn.conv2d(images, tf.cast(kernel, images.dtype), 1, "SAME", dilations=dilation)
    return tf.nn.leaky_relu(tf.nn.bias_add(images, tf.cast(bias, images.dtype)), LEAKY_SLOPE)


def _add(images: tf.Tensor | None, more: tf.Tensor, weights: Weights) -> tf.Tensor:
    sign = weights[2]
    more = more if sign is None else more * tf.cast(sign, more.dtype)
    return more if images is None else images + more


def _scaled(kernel: np.ndarray, bias: np.ndarray, scale: np.ndarray) -> Weights:
    sign = _variable(np.where(scale < 0, -1.0, 1.0)) if (scale < 0).any() else None
    return _variable(kernel * abs(scale)), _variable(bias * abs(scale)), sign


def _with_ones_channel(kernel: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return the kernel of one more input channel, of ones, that adds ``shift`` to the first channels."""
    ones = np.einsum("hwio,i->hwo", kernel[:, :, : len(shift)], shift)
    return np.concatenate([kernel, ones[:, :, np.newaxis]], axis=2)


def _transposed_kernel(kernel: np.ndarray) -> np.ndarray:
    """Return the 4×4 kernel whose transposed convolution of stride 2 is doubling, then the 3×3 ``kernel``."""
    turned = np.flip(kernel.transpose(0, 1, 3, 2), axis=(0, 1))
    none = (0, 0)
    rows = np.pad(turned, [(0, 1), none, none, none]) + np.pad(turned, [(1, 0), none, none, none])
    return np.pad(rows, [none, (0, 1), none, none]) + np.pad(rows, [none, (1, 0), none, none])


def _norm(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return a and b of the batch normalization's a·y + b, float64."""
    gamma, beta, mean, variance = (
        np.asarray(value, np.float64) for value in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


def _weights(convolution: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(convolution.kernel, np.float64), np.asarray(convolution.bias, np.float64)


def _variable(values: np.ndarray) -> tf.Variable:
    return tf.Variable(np.asarray(values, np.float32), trainable=False)
