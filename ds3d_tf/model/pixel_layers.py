"""The pieces that the pixel network is built of."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ds3d_tf.model.layers import NORM_EPSILON

NORM_MOMENTUM = 0.95
# Sum of the probabilities of an empty frame at the start: a 400th a pixel.
START_LOGIT = -6.0
MAX_OFFSET_PX = 1.5
# Smallest standard deviations of x, y (pixels), z and photons (shares of their scales).
MIN_SIGMA = (0.004, 0.004, 0.0005, 0.001)
# What the channels of the network's maps hold.
PROBABILITY, MEAN, SIGMA, BACKGROUND = 0, slice(1, 5), slice(5, 9), 9
CHANNELS = 10


@keras.saving.register_keras_serializable("ds3d_tf")
class ConvolutionNorm(keras.layers.Layer):
    """Convolution → batch normalization, of images ``[B, H, W, C]`` into ``[B, H / stride, W / stride, filters]``.

    With a stride, the kernel is as wide as the stride, and every output sees its own pixels only. Without ``norm``,
    the convolution has a bias instead: the form of a trained network into which normalizations are folded.
    """

    def __init__(
        self,
        filters: int,
        size: int = 3,
        dilation: int = 1,
        stride: int = 1,
        norm: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.size, self.dilation, self.stride = filters, size, dilation, stride
        self.has_norm, self.seed = norm, seed
        self.convolution = keras.layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding="same" if stride == 1 else "valid",
            dilation_rate=dilation,
            use_bias=not norm,
            kernel_initializer=keras.initializers.HeNormal(seed),
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.norm = None
        if norm:
            self.norm = keras.layers.BatchNormalization(
                epsilon=NORM_EPSILON, momentum=NORM_MOMENTUM, dtype=self.dtype_policy, name="norm"
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for images of ``input_shape[-1]`` channels."""
        self.convolution.build(input_shape)
        if self.norm is not None:
            self.norm.build((*input_shape[:-1], self.filters))

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the output, ``[B, H / stride, W / stride, filters]``, without unit, of images ``[B, H, W, C]``."""
        images = self.convolution(images)
        return images if self.norm is None else self.norm(images, training=training)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output for images of ``input_shape``."""
        batch, height, width, _ = input_shape
        return (batch, height and height // self.stride, width and width // self.stride, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        config = {
            "filters": self.filters,
            "size": self.size,
            "dilation": self.dilation,
            "stride": self.stride,
            "norm": self.has_norm,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("ds3d_tf")
class ResidualBlock(keras.layers.Layer):
    """silu(x + N(silu(N(x)))), N a 3×3 ConvolutionNorm; of ``[B, H, W, C]`` into ``[B, H, W, filters]``.

    If C is not ``filters``, x is brought to ``filters`` channels by a 1×1 ConvolutionNorm first.
    """

    def __init__(
        self, filters: int, dilation: int = 1, norm: bool = True, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.dilation, self.has_norm, self.seed = filters, dilation, norm, seed
        first = 0 if seed is None else 10 * seed
        seeds = [None if seed is None else first + i for i in range(3)]
        common: dict[str, Any] = {"norm": norm, "dtype": self.dtype_policy}
        self.shortcut = ConvolutionNorm(filters, 1, seed=seeds[0], name="shortcut", **common)
        self.first = ConvolutionNorm(filters, 3, dilation, seed=seeds[1], name="first", **common)
        self.second = ConvolutionNorm(filters, 3, dilation, seed=seeds[2], name="second", **common)
        self.changes_channels = False

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for images of ``input_shape[-1]`` channels."""
        self.changes_channels = input_shape[-1] != self.filters
        if self.changes_channels:
            self.shortcut.build(input_shape)
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], self.filters))

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the output, ``[B, H, W, filters]``, without unit, of images ``[B, H, W, C]``."""
        inner = self.second(ops.silu(self.first(images, training=training)), training=training)
        if self.changes_channels:
            images = self.shortcut(images, training=training)
        return ops.silu(ops.cast(images, inner.dtype) + inner)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output for images of ``input_shape``."""
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this block again."""
        config = {"filters": self.filters, "dilation": self.dilation, "norm": self.has_norm, "seed": self.seed}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("ds3d_tf")
class EmitterMaps(keras.layers.Layer):
    """The last layer: features into the ten maps of emitters, always float32.

    Channels: probability p; mean of x and y (pixels from the pixel's centre, within ±1.5), z and photons (in the units
    of a ``PixelGrid``); their four standard deviations; background. ``sigma_factors`` multiply the standard
    deviations: 1 while training, then what makes them right on validation frames.
    """

    def __init__(
        self, sigma_factors: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0), seed: int | None = None, **kwargs: Any
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.sigma_factors = tuple(float(factor) for factor in sigma_factors)
        self.seed = seed
        self.convolution = keras.layers.Conv2D(
            CHANNELS,
            1,
            kernel_initializer=keras.initializers.VarianceScaling(0.1, seed=seed),
            dtype="float32",
            name="convolution",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for features of ``input_shape[-1]`` channels."""
        self.convolution.build(input_shape)

    def call(self, features: Any) -> Any:
        """Return the maps, float32 ``[B, H, W, 10]``, in the units above, of features ``[B, H, W, C]``."""
        raw = self.convolution(features)
        least = ops.convert_to_tensor(MIN_SIGMA, "float32")
        factors = ops.convert_to_tensor(self.sigma_factors, "float32")
        return ops.concatenate(
            [
                ops.sigmoid(raw[..., :1] + START_LOGIT),
                MAX_OFFSET_PX * ops.tanh(raw[..., 1:3]),
                raw[..., 3:4],
                ops.softplus(raw[..., 4:5]),
                (least + ops.softplus(raw[..., SIGMA])) * factors,
                ops.softplus(raw[..., BACKGROUND:]),
            ],
            axis=-1,
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the maps for features of ``input_shape``."""
        return (*input_shape[:-1], CHANNELS)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        return {**super().get_config(), "sigma_factors": list(self.sigma_factors), "seed": self.seed}
