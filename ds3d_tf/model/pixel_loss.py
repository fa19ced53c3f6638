"""The loss of the pixel network: how many emitters there are, where they are, and the light around them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
from keras import ops

from ds3d_tf.model.pixel_layers import BACKGROUND, MEAN, PROBABILITY, SIGMA
from ds3d_tf.model.replicas import sum_over_replicas
from ds3d_tf.simulation.pixel_grid import PixelGrid

# Pixels this far from an emitter's own may describe it: windows of 7×7 pixels.
WINDOW_RADIUS_PX = 3
# Smallest variance of the number of emitters: without it, a network that is sure of itself has infinite slopes.
MIN_COUNT_VARIANCE = 0.1
MIN_PROBABILITY = 1e-7
# Columns of the emitters' lists: x, y, z in µm, label weight, photoelectrons, background (negative: not known).
WEIGHT, PHOTONS, LIGHT = 3, 4, 5
# Below any log-likelihood that matters, for pixels outside the frame.
_NOTHING = -1e9


@keras.saving.register_keras_serializable("ds3d_tf")
class EmitterLoss(keras.losses.Loss):
    """Count, mixture, pixel and background loss of a batch, as a mean over its emitters.

    With p_k the probability, μ_k and σ_k mean and standard deviation of pixel k, N emitters u_i of a frame:

    - count: max(N, 1) · -log 𝓝(N; Σ p_k, √(Σ p_k (1 - p_k) + 0.1)), so that an empty frame counts, too;
    - mixture: -Σ_i log Σ_k (p_k / Σp) Π_d 𝓝(u_id; μ_kd, σ_kd), k in the 7×7 pixels around the emitter, d over x, y,
      z and photons (Speiser et al., Nature Methods 2021);
    - pixel: binary cross-entropy of p with the pixels that hold an emitter, summed over the frame;
    - background: squared error in those windows, a mean of each.

    The second and the fourth look at the windows of emitters only, so their cost does not grow with the frame.
    """

    def __init__(self, grid: PixelGrid | dict[str, Any], **kwargs: Any) -> None:
        kwargs.setdefault("name", "emitter_loss")
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.grid = PixelGrid(**grid) if isinstance(grid, dict) else grid

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of one batch.

        Args:
            y_true: float32 ``[B, E, 6]``: x, y, z in µm, the label weight (0 = padding or not labelled),
                photoelectrons, and background in photoelectrons a pixel (negative: not known).
            y_pred: float32 ``[B, H, W, 10]``, the maps of a ``PixelNet``.

        Returns:
            float32 scalar, without unit; the part of it that this device adds, where several share the batch.
        """
        weight, pixels, targets = emitter_targets(y_true, self.grid, ops.shape(y_pred))
        probability = y_pred[..., PROBABILITY]
        total = ops.sum(probability, axis=(1, 2))
        number = ops.sum(weight, axis=1)
        variance = ops.sum(probability * (1 - probability), axis=(1, 2)) + MIN_COUNT_VARIANCE
        count = 0.5 * ops.square(number - total) / variance + 0.5 * ops.log(2 * math.pi * variance)
        count = ops.sum(ops.maximum(number, 1.0) * count)

        window, inside, offsets = windows(y_pred, pixels)
        mean, sigma = window[..., MEAN], window[..., SIGMA]
        # Every pixel of a window counts offsets from its own centre.
        lateral = targets[:, :, None, :2] - offsets - mean[..., :2]
        error = ops.concatenate([lateral, targets[:, :, None, 2:] - mean[..., 2:]], axis=-1)
        log_normal = -0.5 * ops.square(error / sigma) - ops.log(sigma) - 0.5 * math.log(2 * math.pi)
        density = ops.log(ops.maximum(window[..., PROBABILITY], MIN_PROBABILITY)) + ops.sum(log_normal, axis=-1)
        density = ops.logsumexp(ops.where(inside, density, _NOTHING), axis=-1)
        mixture = ops.sum(weight * (ops.log(ops.maximum(total, MIN_PROBABILITY))[:, None] - density))

        light = ops.cast(y_true[..., LIGHT], "float32") / self.grid.background_scale
        in_frame = ops.cast(inside, "float32")
        squared = ops.square(window[..., BACKGROUND] - light[..., None]) * in_frame
        known = weight * ops.cast(light >= 0, "float32")
        background = ops.sum(known * ops.sum(squared, axis=-1) / ops.maximum(ops.sum(in_frame, axis=-1), 1.0))

        held = pixel_labels(weight, pixels, ops.shape(y_pred))
        sure = ops.clip(probability, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        pixel = -ops.sum(held * ops.log(sure) + (1 - held) * ops.log(1 - sure))

        # Devices that share the batch add their parts up.
        emitters = ops.maximum(sum_over_replicas(ops.sum(number)), 1.0)
        return (count + mixture + pixel + background) / emitters

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this loss again."""
        return {**super().get_config(), "grid": dataclasses.asdict(self.grid)}


def emitter_targets(emitters: Any, grid: PixelGrid, maps_shape: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """Return what a network should say of emitters; those outside the frame get the weight 0.

    Args:
        emitters: float32 ``[B, E, 6]``: x, y, z in µm, label weight, photoelectrons, background.
        grid: pixels and scales.
        maps_shape: ``(B, H, W, 10)``; numbers or scalar tensors.

    Returns:
        label weight float32 ``[B, E]``, 0 or 1; the pixel of each emitter int32 ``[B, E, 2]`` (row, column), pixels;
        and float32 ``[B, E, 4]``: x and y from that pixel's centre in pixels, z and photons in the network's units.
    """
    emitters = ops.cast(emitters, "float32")
    _, height, width = maps_shape[:3]
    places = grid.places(emitters[..., :3], (height, width))
    nearest = ops.floor(places[..., :2] + 0.5)
    offset = places[..., :2] - nearest
    pixels = ops.cast(ops.flip(nearest, axis=-1), "int32")
    limits = ops.stack([ops.cast(height, "int32"), ops.cast(width, "int32")])
    inside = ops.all((pixels >= 0) & (pixels < limits), axis=-1)
    weight = ops.cast(inside & (emitters[..., WEIGHT] > 0), "float32")
    photons = emitters[..., PHOTONS : PHOTONS + 1] / grid.photon_scale
    targets = ops.concatenate([offset, places[..., 2:], photons], axis=-1)
    return weight, ops.where(inside[..., None], pixels, 0), targets


def windows(maps: Any, pixels: Any) -> tuple[Any, Any, Any]:
    """Return the maps in the 7×7 pixels around some pixels.

    Args:
        maps: float32 ``[B, H, W, 10]``, maps of a ``PixelNet``, in its units.
        pixels: int32 ``[B, E, 2]`` (row, column), pixels inside the frame.

    Returns:
        the maps float32 ``[B, E, 49, 10]``; bool ``[B, E, 49]``, True inside the frame; and float32 ``[1, 1, 49, 2]``
        (x, y), the distance of each pixel of a window from its middle, pixels.
    """
    batch, height, width, channels = ops.shape(maps)
    steps = [float(step) for step in range(-WINDOW_RADIUS_PX, WINDOW_RADIUS_PX + 1)]
    offsets = ops.convert_to_tensor([[[[x, y] for y in steps for x in steps]]], "float32")
    whole = ops.cast(ops.flip(offsets, axis=-1), "int32")
    near = pixels[:, :, None, :] + whole
    limits = ops.stack([ops.cast(height, "int32"), ops.cast(width, "int32")])
    inside = ops.all((near >= 0) & (near < limits), axis=-1)
    near = ops.where(inside[..., None], near, 0)
    example = ops.cast(ops.arange(batch), "int32")[:, None, None]
    place = (example * ops.cast(height, "int32") + near[..., 0]) * ops.cast(width, "int32") + near[..., 1]
    return ops.take(ops.reshape(maps, (-1, channels)), place, axis=0), inside, offsets


def pixel_labels(weight: Any, pixels: Any, maps_shape: tuple[Any, ...]) -> Any:
    """Return 1 in the pixels that hold an emitter, else 0.

    Args:
        weight: float32 ``[B, E]``, label weight, 0 or 1.
        pixels: int32 ``[B, E, 2]`` (row, column), pixels inside the frame.
        maps_shape: ``(B, H, W, 10)``; numbers or scalar tensors.

    Returns:
        float32 ``[B, H, W]``, 0 or 1.
    """
    batch, height, width = maps_shape[:3]
    example = ops.broadcast_to(ops.cast(ops.arange(batch), "int32")[:, None, None], ops.shape(pixels[..., :1]))
    indices = ops.reshape(ops.concatenate([example, pixels], axis=-1), (-1, 3))
    counts = ops.scatter(indices, ops.reshape(weight, (-1,)), (batch, height, width))
    return ops.minimum(counts, 1.0)
