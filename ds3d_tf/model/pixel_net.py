"""PixelNet: one or three frames in, in every camera pixel the emitter that is there out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ds3d_tf.model.layers import frame_norm
from ds3d_tf.model.pixel_layers import CHANNELS, ConvolutionNorm, EmitterMaps, ResidualBlock
from ds3d_tf.setup import Setup

FILTERS = (32, 64, 128)
DILATIONS = (1, 2, 4, 1)
# Sides of the coarsest pixels, in camera pixels: frames are padded with zeros to a multiple of it.
STRIDE = 4


@keras.saving.register_keras_serializable("ds3d_tf")
class PixelNet(keras.Model):
    """An encoder and decoder of residual blocks that answers once a camera pixel, for frames of any size.

    Residual blocks at full, half and quarter resolution, dilated ones at the lowest, skip connections back to full
    resolution, and ten maps (see ``EmitterMaps``). Of several frames, each is encoded by itself (:meth:`encode`), and
    the middle one's emitters are found with the quarter-resolution features of all (:meth:`decode`), so that a
    recording's frames are encoded once each. Hidden layers follow ``dtype``, the first normalization and the maps are
    float32.

    Args:
        filters: filters at full, half and quarter resolution.
        context_frames: 1, or 3 for the frames before and after as well.
        norm: whether there are batch normalizations; False in networks into which they were folded.
        sigma_factors: factors of the standard deviations of x, y, z and photons.
        seed: of the initial weights.

    Raises:
        ValueError: ``context_frames`` is neither 1 nor 3.
    """

    def __init__(
        self,
        filters: tuple[int, int, int] = FILTERS,
        context_frames: int = 1,
        norm: bool = True,
        sigma_factors: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # Frames stay float32 up to frame_norm, whatever the policy of the hidden layers.
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        if context_frames not in (1, 3):
            raise ValueError(f"context_frames: expected 1 or 3, got {context_frames!r}")
        self.filters = tuple(filters)
        self.context_frames = context_frames
        self.has_norm = norm
        self.seed = seed
        full, half, quarter = self.filters
        seeds = iter(range(1000 * seed, 1000 * (seed + 1)))

        def convolution(filters: int, size: int, name: str, stride: int = 1) -> ConvolutionNorm:
            return ConvolutionNorm(
                filters, size, stride=stride, norm=norm, seed=next(seeds), dtype=self.dtype_policy, name=name
            )

        def block(filters: int, name: str, dilation: int = 1) -> ResidualBlock:
            return ResidualBlock(filters, dilation, norm, seed=next(seeds), dtype=self.dtype_policy, name=name)

        self.frame_norm = frame_norm()
        self.stem = convolution(full, 3, "stem")
        self.full_encoder = block(full, "full_encoder")
        self.to_half = convolution(half, 2, "to_half", stride=2)
        self.half_encoder = block(half, "half_encoder")
        self.to_quarter = convolution(quarter, 2, "to_quarter", stride=2)
        self.fusion = convolution(quarter, 1, "fusion") if context_frames > 1 else None
        self.trunk = [block(quarter, f"trunk_{i}", dilation) for i, dilation in enumerate(DILATIONS, start=1)]
        self.from_quarter = convolution(half, 1, "from_quarter")
        self.half_decoder = block(half, "half_decoder")
        self.from_half = convolution(full, 1, "from_half")
        self.full_decoder = block(full, "full_decoder")
        self.last = convolution(full, 3, "last")
        self.maps = EmitterMaps(sigma_factors, seed=next(seeds), name="maps")
        self.build((None, None, None))

    @classmethod
    def from_setup(cls, setup: Setup) -> PixelNet:
        """Return a fresh network for a ``Setup``: its context, width, precision and seed."""
        learning = setup.learning
        filters = learning.filters
        return cls(
            (filters, 2 * filters, 4 * filters),
            learning.context_frames,
            seed=setup.training_set.seed,
            dtype=learning.precision,
        )

    @property
    def receptive_radius_px(self) -> int:
        """Largest distance, in camera pixels, of a pixel that a map's value depends on (from the layers)."""
        first, last = 0, STRIDE - 1
        for name, step in reversed(self._route()):
            if name == "down":
                first, last = first * step, last * step + step - 1
            elif name == "up":
                first, last = first // step, last // step
            else:
                first, last = first - step, last + step
        return max(-first, last - (STRIDE - 1)) + STRIDE - 1

    def _route(self) -> list[tuple[str, int]]:
        """Return what happens to a pixel's neighbourhood: steps of resolution, reaches of blocks in their pixels."""
        trunk = [("block", 2 * block.dilation) for block in self.trunk]
        return [
            *[("block", 1), ("block", 2), ("down", 2), ("block", 2), ("down", 2), *trunk],
            *[("up", 2), ("block", 2), ("up", 2), ("block", 2), ("block", 1)],
        ]

    @property
    def multiplications_per_pixel(self) -> float:
        """Multiplications of all convolutions for each camera pixel and frame, features of a frame computed once."""
        return sum(
            float(layer.convolution.kernel.shape[0] ** 2)
            * layer.convolution.kernel.shape[2]
            * layer.convolution.kernel.shape[3]
            / step**2
            for layer, step in self._convolutions()
        )

    def _convolutions(self) -> list[tuple[Any, int]]:
        """Return every layer that is one convolution with the distance of its outputs, camera pixels."""

        def inside(block: ResidualBlock) -> list[ConvolutionNorm]:
            return [*([block.shortcut] if block.changes_channels else []), block.first, block.second]

        fine = [self.stem, *inside(self.full_encoder), *inside(self.full_decoder), self.last, self.maps]
        middle = [self.to_half, *inside(self.half_encoder), *inside(self.half_decoder), self.from_half]
        coarse = [self.to_quarter, *([self.fusion] if self.fusion else []), self.from_quarter]
        coarse += [layer for block in self.trunk for layer in inside(block)]
        return [(layer, 1) for layer in fine] + [(layer, 2) for layer in middle] + [(layer, 4) for layer in coarse]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make all weights; the frame's size does not matter."""
        if getattr(self, "built", False):
            return
        full, half, quarter = ((None, None, None, count) for count in self.filters)
        self.frame_norm.build((None, None, None, 1))
        self.stem.build((None, None, None, 1))
        for layer in (self.full_encoder, self.to_half, self.last):
            layer.build(full)
        self.maps.build(full)
        for layer in (self.half_encoder, self.to_quarter, self.from_half):
            layer.build(half)
        for block in self.trunk:
            block.build(quarter)
        self.from_quarter.build(quarter)
        if self.fusion is not None:
            self.fusion.build((None, None, None, self.context_frames * self.filters[2]))
        self.half_decoder.build((None, None, None, 2 * self.filters[1]))
        self.full_decoder.build((None, None, None, 2 * self.filters[0]))
        self.built = True

    def call(self, frames: Any, training: bool = False) -> Any:
        """Return the maps of emitters.

        Args:
            frames: float32 ``[B, H, W]`` or ``[B, H, W, context_frames]``, normalized frames, any H and W; with
                context, the frame before, the frame itself and the frame after.
            training: whether batch normalization uses and learns from the statistics of this batch.

        Returns:
            float32 ``[B, H, W, 10]``: probability, offsets in pixels, z and photons in the units of a ``PixelGrid``,
            their four standard deviations, background.
        """
        if len(frames.shape) == 3:
            frames = ops.expand_dims(frames, axis=-1)
        if self.context_frames == 1:
            full, half, quarter = self.encode(frames, training=training)
            return self.decode(full, half, [quarter], ops.shape(frames)[1:3], training=training)
        # All frames at once, so that batch normalization sees one batch.
        together = ops.concatenate([frames[..., i : i + 1] for i in range(self.context_frames)], axis=0)
        full, half, quarter = self.encode(together, training=training)
        middle = self.context_frames // 2
        quarters = ops.split(quarter, self.context_frames, axis=0)
        own_full, own_half = (ops.split(one, self.context_frames, axis=0)[middle] for one in (full, half))
        return self.decode(own_full, own_half, quarters, ops.shape(frames)[1:3], training=training)

    def encode(self, frames: Any, training: bool = False) -> tuple[Any, Any, Any]:
        """Return the features of single frames.

        Args:
            frames: float32 ``[B, H, W, 1]``, normalized frames.
            training: as in :meth:`call`.

        Returns:
            features without unit at full, half and quarter resolution of the padded frames, ``[B, h, w, filters]``.
        """
        images = ops.cast(self.frame_norm(padded(frames), training=training), self.compute_dtype)
        full = self.full_encoder(ops.silu(self.stem(images, training=training)), training=training)
        half = self.half_encoder(ops.silu(self.to_half(full, training=training)), training=training)
        return full, half, ops.silu(self.to_quarter(half, training=training))

    def decode(self, full: Any, half: Any, quarters: list[Any], frame_shape: Any, training: bool = False) -> Any:
        """Return the maps ``[B, H, W, 10]`` of frames from their features and those of their neighbours.

        Args:
            full: features of the frames at full resolution, as :meth:`encode` returns them.
            half: the same at half resolution.
            quarters: features at quarter resolution of each frame of the context, in their order.
            frame_shape: H and W of the frames before padding, pixels.
            training: as in :meth:`call`.
        """
        images = quarters[0]
        if self.fusion is not None:
            images = ops.silu(self.fusion(ops.concatenate(quarters, axis=-1), training=training))
        for block in self.trunk:
            images = block(images, training=training)
        images = doubled(self.from_quarter(images, training=training))
        images = self.half_decoder(ops.concatenate([half, images], axis=-1), training=training)
        images = doubled(self.from_half(images, training=training))
        images = self.full_decoder(ops.concatenate([full, images], axis=-1), training=training)
        images = ops.silu(self.last(images, training=training))
        return self.maps(images[:, : frame_shape[0], : frame_shape[1]])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the maps for frames of ``input_shape``."""
        return (*input_shape[:3], CHANNELS)

    def compute_output_spec(self, frames: Any, training: bool = False) -> Any:
        """Return shape and dtype of the maps, which are float32 under any policy, for symbolic frames."""
        return keras.KerasTensor(self.compute_output_shape(tuple(frames.shape)), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a network of this shape again."""
        return {
            "filters": list(self.filters),
            "context_frames": self.context_frames,
            "norm": self.has_norm,
            "sigma_factors": list(self.maps.sigma_factors),
            "seed": self.seed,
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }


def padded(images: Any) -> Any:
    """Return images ``[B, H, W, C]`` (of any unit) with zeros below and to the right up to multiples of four pixels."""
    height, width = ops.shape(images)[1:3]
    if isinstance(height, int) and isinstance(width, int) and not (height % STRIDE or width % STRIDE):
        return images
    images = ops.pad(images, ((0, 0), (0, STRIDE - 1), (0, STRIDE - 1), (0, 0)))
    return images[:, : (height + STRIDE - 1) // STRIDE * STRIDE, : (width + STRIDE - 1) // STRIDE * STRIDE]


def doubled(images: Any) -> Any:
    """Return images ``[B, H, W, C]`` (of any unit) with every pixel repeated, ``[B, 2H, 2W, C]``."""
    return ops.repeat(ops.repeat(images, 2, axis=1), 2, axis=2)
