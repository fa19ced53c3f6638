"""Emitters of the pixel network's maps, in TensorFlow operations only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ds3d_tf.model.pixel_layers import BACKGROUND, MEAN, PROBABILITY, SIGMA
from ds3d_tf.model.pixel_net import STRIDE
from ds3d_tf.simulation.pixel_grid import PixelGrid

# A pixel is looked at from this probability on if it is the highest of its 3×3 neighbourhood, from the other one on
# in any case: two emitters may be in neighbouring pixels (Speiser et al., Nature Methods 2021).
CANDIDATE, SURE = 0.2, 0.6
# Photons, background, σ of x, y, z and of the photons.
DETAILS = 6
_COLUMNS = 3 + 1 + DETAILS


def overlap_of_maps_px(receptive_radius_px: int) -> int:
    """Return the pixels around a tile that must be computed with it: receptive field, a neighbour, whole strides."""
    return -(-(receptive_radius_px + 1) // STRIDE) * STRIDE


def emitters_of_maps(
    maps: tf.Tensor, threshold: float | tf.Tensor, box: tuple[Any, Any, Any, Any] | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the emitters of maps: those whose probability, summed over a pixel and its four neighbours, is high.

    Args:
        maps: float32 ``[B, H, W, 10]``, maps of a ``PixelNet``, in its units.
        threshold: number or scalar tensor; smallest confidence (summed probability), exclusive.
        box: first and last row (exclusive), first and last column of the pixels to return; neighbours may lie outside.

    Returns:
        int64 ``[M, 3]`` (batch, row, column), pixel indices in raster order, and float32 ``[M, 10]``: offsets of x and
        y from the pixel's centre in pixels, z, confidence (a probability), photons, background and the four standard
        deviations, in the network's units.
    """
    threshold = tf.cast(threshold, tf.float32)
    probability = maps[..., PROBABILITY]
    # A threshold below the usual candidates' asks for fainter candidates.
    found = tf.where(probability > tf.minimum(threshold, CANDIDATE))
    if box is not None:
        first_row, last_row, first_column, last_column = (tf.cast(edge, tf.int64) for edge in box)
        row, column = found[:, 1], found[:, 2]
        inside = (row >= first_row) & (row < last_row) & (column >= first_column) & (column < last_column)
        found = tf.boolean_mask(found, inside)
    around = tf.stack([_at(probability, found, down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)], axis=1)
    own = around[:, 4]
    cross = tf.maximum(tf.gather(around, [1, 3, 5, 7], axis=1), 0.0)
    summed = tf.minimum(own + tf.reduce_sum(cross, axis=1), 1.0)
    # Of equal neighbours the first in raster order is the highest.
    highest = tf.reduce_all(own[:, None] > around[:, :4], axis=1) & tf.reduce_all(own[:, None] >= around[:, 5:], axis=1)
    kept = tf.where((highest | (own > SURE)) & (summed > threshold))[:, 0]
    found, summed = tf.gather(found, kept), tf.gather(summed, kept)
    values = tf.gather_nd(maps, found)
    mean = values[:, MEAN]
    light = values[:, BACKGROUND : BACKGROUND + 1]
    return found, tf.concat([mean[:, :3], summed[:, None], mean[:, 3:], light, values[:, SIGMA]], axis=1)


def _at(images: tf.Tensor, pixels: tf.Tensor, down: int, right: int) -> tf.Tensor:
    """Return the values beside pixels [M, 3]; -1 outside the image."""
    shape = tf.shape(images, out_type=tf.int64)
    beside = pixels + tf.constant([0, down, right], tf.int64)
    inside = tf.reduce_all((beside >= 0) & (beside < shape), axis=1)
    return tf.where(inside, tf.gather_nd(images, tf.where(inside[:, None], beside, 0)), -1.0)


def padded_emitters(
    pixels: tf.Tensor, values: tf.Tensor, grid: PixelGrid, shape: Sequence[Any]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return emitters frame by frame, in physical units, in raster order, zero-padded.

    Args:
        pixels: int64 ``[M, 3]`` (batch, row, column), pixel indices in any order.
        values: float32 ``[M, 10]``, as :func:`emitters_of_maps` returns them, in the network's units.
        grid: pixels and scales.
        shape: B, H and W of the frames in pixels; numbers or scalar tensors.

    Returns:
        xyz_um float32 ``[B, K, 3]``, µm; confidence float32 ``[B, K]``, a probability; count int32 ``[B]``; and details
        float32 ``[B, K, 6]``: photons and background in photoelectrons, σ of x, y and z in µm, σ of the photons.
    """
    batch, height, width = (tf.cast(size, tf.int64) for size in shape)
    order = tf.argsort((pixels[:, 0] * height + pixels[:, 1]) * width + pixels[:, 2], stable=True)
    pixels, values = tf.gather(pixels, order), tf.gather(values, order)
    places = tf.cast(tf.reverse(pixels[:, 1:], [1]), tf.float32) + values[:, :2]
    frame_shape = (tf.cast(height, tf.int32), tf.cast(width, tf.int32))
    xyz_um = grid.positions_um(tf.concat([places, values[:, 2:3]], axis=1), frame_shape)
    photons, half_depth_um = grid.photon_scale, grid.half_depth_um
    scale = [photons, grid.background_scale, grid.pixel_um, grid.pixel_um, half_depth_um, photons]
    rows = tf.concat([xyz_um, values[:, 3:4], values[:, 4:] * tf.constant(scale, tf.float32)], axis=1)
    ragged = tf.RaggedTensor.from_value_rowids(rows, pixels[:, 0], nrows=batch, validate=False)
    padded = ragged.to_tensor(shape=[None, None, _COLUMNS])
    count = tf.cast(ragged.row_lengths(), tf.int32)
    return padded[..., :3], padded[..., 3], count, padded[..., 4:]


def localize_maps_in_tiles(
    frames: tf.Tensor,
    predict: Callable[[tf.Tensor], tf.Tensor],
    tile: tuple[tf.Tensor, tf.Tensor],
    receptive_radius_px: int,
    threshold: tf.Tensor,
    grid: PixelGrid,
    frames_a_step: tf.Tensor | None = None,
    context_frames: int = 1,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the emitters of frames without ever holding more of the network's maps than those of one tile.

    Args:
        frames: float32 ``[B, H, W]``, normalized frames; with context, one more before the first and after the last.
        predict: maps normalized parts of frames that follow one another, float32 ``[b, h, w]``, to their maps
            ``[b, h, w, 10]``; with context, to those of all but the first and the last.
        tile: scalar int32 tensors (rows, columns), pixels, of the kept part; 0 or less stands for the whole frame.
        receptive_radius_px: largest distance, in pixels, at which the network sees.
        threshold: float32 scalar, smallest confidence (summed probability), exclusive.
        grid: pixels and scales.
        frames_a_step: scalar int32 tensor, number of frames (a count) predicted at a time; None: all.
        context_frames: frames that the network sees at once, 1 or 3.

    Returns:
        what :func:`padded_emitters` does, of all frames but those that are only context.
    """
    shape = tf.shape(frames)
    around = context_frames - 1
    batch, height, width = shape[0] - around, shape[1], shape[2]
    rows, columns = (
        tf.where(size > 0, tf.minimum((size + STRIDE - 1) // STRIDE * STRIDE, length), length)
        for size, length in zip(tile, (height, width), strict=True)
    )
    across = (width + columns - 1) // columns
    tiles = across * ((height + rows - 1) // rows)
    together = tf.maximum(batch if frames_a_step is None else frames_a_step, 1)
    steps = tiles * ((batch + together - 1) // together)
    overlap_px = overlap_of_maps_px(receptive_radius_px)
    arrays = (
        tf.TensorArray(tf.int64, size=steps, infer_shape=False, element_shape=[None, 3]),
        tf.TensorArray(tf.float32, size=steps, infer_shape=False, element_shape=[None, _COLUMNS]),
    )

    def body(index: tf.Tensor, arrays: tuple[tf.TensorArray, ...]) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...]]:
        first, tile_index = index // tiles * together, index % tiles
        top, left = tile_index // across * rows, tile_index % across * columns
        bottom, right = tf.minimum(top + rows, height), tf.minimum(left + columns, width)
        first_row, first_column = tf.maximum(top - overlap_px, 0), tf.maximum(left - overlap_px, 0)
        last = tf.minimum(first + together, batch)
        part = frames[first : last + around, first_row : bottom + overlap_px, first_column : right + overlap_px]
        box = (top - first_row, bottom - first_row, left - first_column, right - first_column)
        pixels, values = emitters_of_maps(predict(part), threshold, box)
        pixels += tf.cast(tf.stack([first, first_row, first_column]), tf.int64)
        return index + 1, (arrays[0].write(index, pixels), arrays[1].write(index, values))

    # One step at a time: parallel iterations would multiply the memory.
    _, arrays = tf.while_loop(lambda index, _: index < steps, body, (tf.constant(0), arrays), parallel_iterations=1)
    return padded_emitters(arrays[0].concat(), arrays[1].concat(), grid, (batch, height, width))


def details_by_name(details: Any) -> dict[str, Any]:
    """Return the parts of details ``[..., 6]``: ``photons``, ``background``, ``sigma_um``, ``sigma_photons``.

    Photons, their σ and background are photoelectrons, ``sigma_um`` ``[..., 3]`` is in µm.
    """
    names = {"photons": 0, "background": 1, "sigma_um": slice(2, 5), "sigma_photons": 5}
    return {name: details[..., part] for name, part in names.items()}


def details_of_names(parts: dict[str, Any]) -> np.ndarray:
    """Return details float32 ``[..., 6]`` of what :func:`details_by_name` returns (photoelectrons and µm)."""
    columns = [np.asarray(parts[name])[..., None] for name in ("photons", "background")]
    columns += [np.asarray(parts["sigma_um"]), np.asarray(parts["sigma_photons"])[..., None]]
    return np.concatenate(columns, axis=-1).astype(np.float32)
