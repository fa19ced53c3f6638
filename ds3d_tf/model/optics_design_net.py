"""OpticsDesignNet: the small network that learns together with a phase mask."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ds3d_tf.model.layers import ConvolutionBlock, VoxelOutput, frame_norm
from ds3d_tf.setup import Setup

BLOCKS = 9


@keras.saving.register_keras_serializable("ds3d_tf")
class OpticsDesignNet(keras.Model):
    """The convolutional part of DeepSTORM3D's mask-learning network, at camera resolution, for frames of any size.

    Nine blocks without dilation, each but the first taking the running features with the normalized frame and adding
    its output to them, and a 1×1 convolution clipped to [0, scaling_factor] (Nehme et al., Nature Methods 2020). A
    renderer with a trainable mask goes before it. Layers are called ``frame_norm``, ``features_1`` … ``features_9``
    and ``voxels``.

    Args:
        depth_voxels: D, voxels along z.
        filters: filters of the blocks.
        scaling_factor: largest confidence of a voxel.
        seed: of the initial weights.
    """

    def __init__(
        self, depth_voxels: int, filters: int = 64, scaling_factor: float = 100.0, seed: int = 0, **kwargs: Any
    ) -> None:
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.depth_voxels = depth_voxels
        self.filters = filters
        self.scaling_factor = scaling_factor
        self.seed = seed
        seeds = iter(range(1000 * seed, 1000 * (seed + 1)))
        self.frame_norm = frame_norm()
        self.features = [
            ConvolutionBlock(filters, seed=next(seeds), dtype=self.dtype_policy, name=f"features_{i}")
            for i in range(1, BLOCKS + 1)
        ]
        self.voxels = VoxelOutput(depth_voxels, scaling_factor, seed=next(seeds), name="voxels")
        self.build((None, None, None))

    @classmethod
    def from_setup(cls, setup: Setup) -> OpticsDesignNet:
        """Return a fresh network for a ``Setup``: its size, scale, precision and seed."""
        learning = setup.learning
        return cls(
            setup.volume.depth_voxels,
            learning.filters,
            learning.scaling_factor,
            seed=setup.training_set.seed,
            dtype=learning.precision,
        )

    @property
    def receptive_radius_px(self) -> int:
        """Largest distance, in camera pixels, of a pixel that a voxel's confidence depends on (from the layers)."""
        return sum(block.dilation for block in self.features)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make all weights; the frame's size does not matter."""
        if getattr(self, "built", False):
            return
        self.frame_norm.build((None, None, None, 1))
        for i, block in enumerate(self.features):
            block.build((None, None, None, self.filters + 1 if i else 1))
        self.voxels.build((None, None, None, self.filters))
        self.built = True

    def call(self, frames: Any, training: bool = False) -> Any:
        """Return the confidence of an emitter in every voxel, a voxel being as wide as a camera pixel.

        Args:
            frames: float32 ``[B, H, W]`` or ``[B, H, W, 1]``, normalized frames, any H and W.
            training: whether batch normalization uses and learns from the statistics of this batch.

        Returns:
            float32 ``[B, H, W, D]``, confidence in [0, scaling_factor].
        """
        if len(frames.shape) == 3:
            frames = ops.expand_dims(frames, axis=-1)
        frames = ops.cast(self.frame_norm(frames, training=training), self.compute_dtype)
        images = self.features[0](frames, training=training)
        for block in self.features[1:]:
            images = images + block(ops.concatenate([images, frames], axis=-1), training=training)
        return self.voxels(images)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the volume for frames of ``input_shape``."""
        return (*input_shape[:3], self.depth_voxels)

    def compute_output_spec(self, frames: Any, training: bool = False) -> Any:
        """Return shape and dtype of the volume, which is float32 under any policy, for symbolic frames."""
        return keras.KerasTensor(self.compute_output_shape(tuple(frames.shape)), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a network of this shape again."""
        return {
            "depth_voxels": self.depth_voxels,
            "filters": self.filters,
            "scaling_factor": self.scaling_factor,
            "seed": self.seed,
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }
