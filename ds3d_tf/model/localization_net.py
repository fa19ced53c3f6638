"""LocalizationNet: one frame in, the confidence of an emitter in every voxel out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ds3d_tf.model.layers import ConvolutionBlock, UpsamplingBlock, VoxelOutput, frame_norm
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.voxel_grid import VOXELS_PER_PIXEL

# Voxels along a side of a pixel → how many of the two blocks after the features double the grid.
UPSAMPLINGS = {1: 0, 2: 1, 4: 2}
DILATIONS = {16: (1, 1, 2, 4, 8, 16), 4: (1, 1, 2, 4, 1, 1)}


@keras.saving.register_keras_serializable("ds3d_tf")
class LocalizationNet(keras.Model):
    """The fully convolutional network of DeepSTORM3D (Nehme et al., Nature Methods 2020), for frames of any size.

    Six dilated blocks at camera resolution, two of nearest ×2 upsampling, three with one channel a depth voxel and
    a 1×1 convolution clipped to [0, scaling_factor]. Hidden layers follow ``dtype``; the first normalization and the
    last layer are float32. Layers are called ``frame_norm``, ``features_1`` … ``features_6``, ``upsampling_1``,
    ``upsampling_2``, ``depth_1`` … ``depth_3`` and ``voxels``.

    Args:
        depth_voxels: D, voxels along z.
        filters: filters of the blocks before the depth blocks.
        max_dilation: 16 for dilations 1, 1, 2, 4, 8, 16; 4 for 1, 1, 2, 4, 1, 1.
        scaling_factor: largest confidence of a voxel.
        seed: of the initial weights.
        lateral_voxels: voxels along a side of a pixel: 4; with 2 and 1, upsampling blocks too many do not double.

    Raises:
        ValueError: ``max_dilation`` is neither 4 nor 16, or ``lateral_voxels`` not 1, 2 or 4.
    """

    def __init__(
        self,
        depth_voxels: int,
        filters: int = 64,
        max_dilation: int = 16,
        scaling_factor: float = 800.0,
        seed: int = 0,
        lateral_voxels: int = VOXELS_PER_PIXEL,
        **kwargs: Any,
    ) -> None:
        # Frames stay float32 up to frame_norm, whatever the policy of the hidden layers.
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        if max_dilation not in DILATIONS:
            raise ValueError(f"max_dilation: expected one of {sorted(DILATIONS)}, got {max_dilation!r}")
        if lateral_voxels not in UPSAMPLINGS:
            raise ValueError(f"lateral_voxels: expected one of {sorted(UPSAMPLINGS)}, got {lateral_voxels!r}")
        self.depth_voxels = depth_voxels
        self.lateral_voxels = lateral_voxels
        self.filters = filters
        self.max_dilation = max_dilation
        self.scaling_factor = scaling_factor
        self.seed = seed

        seeds = iter(range(1000 * seed, 1000 * (seed + 1)))
        dtype = self.dtype_policy
        self.frame_norm = frame_norm()
        self.features = [
            ConvolutionBlock(filters, dilation, seed=next(seeds), dtype=dtype, name=f"features_{i}")
            for i, dilation in enumerate(DILATIONS[max_dilation], start=1)
        ]
        self.upsampling = [
            (UpsamplingBlock if i <= UPSAMPLINGS[lateral_voxels] else ConvolutionBlock)(
                filters, seed=next(seeds), dtype=dtype, name=f"upsampling_{i}"
            )
            for i in (1, 2)
        ]
        self.depth = [
            ConvolutionBlock(depth_voxels, seed=next(seeds), dtype=dtype, name=f"depth_{i}") for i in (1, 2, 3)
        ]
        self.voxels = VoxelOutput(depth_voxels, scaling_factor, seed=next(seeds), name="voxels")
        self.build((None, None, None))

    @classmethod
    def from_setup(cls, setup: Setup) -> LocalizationNet:
        """Return a fresh network for a ``Setup``: its size, scale, precision and seed."""
        learning = setup.learning
        return cls(
            setup.volume.depth_voxels,
            learning.filters,
            learning.max_dilation,
            learning.scaling_factor,
            seed=setup.training_set.seed,
            lateral_voxels=setup.volume.lateral_voxels,
            dtype=learning.precision,
        )

    @property
    def receptive_radius_px(self) -> int:
        """Largest distance, in camera pixels, of a pixel that a voxel's confidence depends on (from the layers)."""
        first, last = 0, self.lateral_voxels - 1
        for block in reversed([*self.features, *self.upsampling, *self.depth]):
            first, last = first - block.dilation, last + block.dilation
            if isinstance(block, UpsamplingBlock):
                first, last = first // 2, last // 2
        return max(-first, last)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make all weights; the frame's size does not matter."""
        if getattr(self, "built", False):
            return
        pixels = (None, None, None)
        self.frame_norm.build((*pixels, 1))
        channels = 1
        for block in self.features:
            block.build((*pixels, channels))
            channels = self.filters + 1
        for block in [*self.upsampling, *self.depth]:
            block.build((*pixels, channels))
            channels = block.filters
        self.voxels.build((*pixels, channels))
        self.built = True

    def call(self, frames: Any, training: bool = False) -> Any:
        """Return the confidence of an emitter in every voxel.

        Args:
            frames: float32 ``[B, H, W]`` or ``[B, H, W, 1]``, normalized frames, any H and W.
            training: whether batch normalization uses and learns from the statistics of this batch.

        Returns:
            float32 ``[B, 4H, 4W, D]`` (4: ``lateral_voxels``), confidence in [0, scaling_factor].
        """
        if len(frames.shape) == 3:
            frames = ops.expand_dims(frames, axis=-1)
        frames = ops.cast(self.frame_norm(frames, training=training), self.compute_dtype)
        images = self.features[0](frames, training=training)
        for block in self.features[1:]:
            images = images + block(ops.concatenate([images, frames], axis=-1), training=training)
        images = ops.concatenate([images, frames], axis=-1)
        for block in self.upsampling:
            images = block(images, training=training)
        images = self.depth[0](images, training=training)
        for block in self.depth[1:]:
            images = images + block(images, training=training)
        return self.voxels(images)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the volume for frames of ``input_shape``."""
        batch, height, width = input_shape[:3]
        per_pixel = self.lateral_voxels
        return (batch, height and per_pixel * height, width and per_pixel * width, self.depth_voxels)

    def compute_output_spec(self, frames: Any, training: bool = False) -> Any:
        """Return shape and dtype of the volume, which is float32 under any policy, for symbolic frames."""
        return keras.KerasTensor(self.compute_output_shape(tuple(frames.shape)), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a network of this shape again."""
        return {
            "depth_voxels": self.depth_voxels,
            "filters": self.filters,
            "max_dilation": self.max_dilation,
            "scaling_factor": self.scaling_factor,
            "seed": self.seed,
            "lateral_voxels": self.lateral_voxels,
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }
