"""The pieces that the networks are built of."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

LEAKY_SLOPE = 0.2
NORM_EPSILON = 1e-5
NORM_MOMENTUM = 0.9


def frame_norm(name: str = "frame_norm") -> keras.layers.BatchNormalization:
    """Return the batch normalization of the networks, always in float32."""
    return keras.layers.BatchNormalization(epsilon=NORM_EPSILON, momentum=NORM_MOMENTUM, dtype="float32", name=name)


def kernel_initializer(seed: int | None) -> keras.initializers.Initializer:
    """Return the law of fresh kernels: uniform in ±1 / sqrt(fan in).

    It gives the small outputs with which half of the clipped voxels start above zero and learn from the first step.
    """
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform", seed=seed)


@keras.saving.register_keras_serializable("ds3d_tf")
class ConvolutionBlock(keras.layers.Layer):
    """Convolution 3×3 → LeakyReLU 0.2 → batch normalization, of images ``[B, H, W, C]`` into ``[B, H, W, filters]``."""

    def __init__(self, filters: int, dilation: int = 1, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.dilation = dilation
        self.seed = seed
        self.convolution = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            dilation_rate=dilation,
            kernel_initializer=kernel_initializer(seed),
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.norm = keras.layers.BatchNormalization(
            epsilon=NORM_EPSILON, momentum=NORM_MOMENTUM, dtype=self.dtype_policy, name="norm"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for images of ``input_shape[-1]`` channels."""
        self.convolution.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the block's output, ``[B, H, W, filters]``, without unit, of images ``[B, H, W, C]``."""
        return self.norm(ops.leaky_relu(self.convolve(images), LEAKY_SLOPE), training=training)

    def convolve(self, images: Any) -> Any:
        """Return the convolution alone, ``[B, H, W, filters]``, without unit, of images ``[B, H, W, C]``."""
        return self.convolution(images)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output for images of ``input_shape``."""
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this block again."""
        return {**super().get_config(), "filters": self.filters, "dilation": self.dilation, "seed": self.seed}


@keras.saving.register_keras_serializable("ds3d_tf")
class UpsamplingBlock(ConvolutionBlock):
    """A ConvolutionBlock on twice the grid: nearest ×2 first, ``[B, H, W, C]`` into ``[B, 2H, 2W, filters]``."""

    def convolve(self, images: Any) -> Any:
        """Return the convolution of the doubled images, ``[B, 2H, 2W, filters]``, without unit.

        Evaluated on the small grid: doubling followed by a 3×3 convolution is one transposed convolution of stride 2,
        whose 4×4 kernel is the (turned) 3×3 kernel convolved with 2×2 ones. Less than half of the products.
        """
        turned = ops.flip(ops.transpose(self.convolution.kernel, (0, 1, 3, 2)), axis=(0, 1))
        rows = ops.pad(turned, ((0, 1), (0, 0), (0, 0), (0, 0))) + ops.pad(turned, ((1, 0), (0, 0), (0, 0), (0, 0)))
        kernel = ops.pad(rows, ((0, 0), (0, 1), (0, 0), (0, 0))) + ops.pad(rows, ((0, 0), (1, 0), (0, 0), (0, 0)))
        return ops.conv_transpose(images, kernel, strides=2, padding="same") + self.convolution.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output for images of ``input_shape``."""
        batch, height, width, _ = input_shape
        return (batch, height and 2 * height, width and 2 * width, self.filters)


@keras.saving.register_keras_serializable("ds3d_tf")
class VoxelOutput(keras.layers.Layer):
    """The last layer: convolution 1×1 to ``depth_voxels``, clipped to [0, scaling_factor], always float32."""

    def __init__(self, depth_voxels: int, scaling_factor: float, seed: int | None = None, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.depth_voxels = depth_voxels
        self.scaling_factor = scaling_factor
        self.seed = seed
        self.convolution = keras.layers.Conv2D(
            depth_voxels, 1, kernel_initializer=kernel_initializer(seed), dtype="float32", name="convolution"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for images of ``input_shape[-1]`` channels."""
        self.convolution.build(input_shape)

    def call(self, images: Any) -> Any:
        """Return the voxels ``[B, H, W, D]``, confidence in [0, scaling_factor], of images ``[B, H, W, C]``."""
        return ops.clip(self.convolution(images), 0.0, self.scaling_factor)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output for images of ``input_shape``."""
        return (*input_shape[:-1], self.depth_voxels)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        config = {"depth_voxels": self.depth_voxels, "scaling_factor": self.scaling_factor, "seed": self.seed}
        return {**super().get_config(), **config}
