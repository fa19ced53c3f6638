"""The size of tiles, chosen inside a graph: servers do not know the size of the frames beforehand."""

from __future__ import annotations

import tensorflow as tf

from ds3d_tf.localization.peaks.tiles import MIN_TILE_PX


def graph_tile_size(
    height: int | tf.Tensor, width: int | tf.Tensor, overlap_px: int | tf.Tensor, max_pixels: int | tf.Tensor
) -> tf.Tensor:
    """Return what ``tiles.tile_size`` does, in TensorFlow operations; if not even small tiles fit, the smallest.

    Args:
        height: scalar int32 tensor, H in pixels.
        width: scalar int32 tensor, W in pixels.
        overlap_px: scalar int32 tensor, pixels around a tile that are computed with it.
        max_pixels: scalar int32 tensor, pixels that tile and overlap may have together.

    Returns:
        int32 ``[2]``, rows and columns of a tile, pixels, without the overlap.
    """
    rows, tallest, tall = _splits(height, overlap_px)
    columns, widest, wide = _splits(width, overlap_px)
    # Of each number of rows of tiles the first, smallest number of columns that fits.
    fits = tallest[:, tf.newaxis] * widest <= tf.cast(max_pixels, tf.int64)
    first = tf.argmax(fits, axis=1)
    cost = tf.where(tf.reduce_any(fits, axis=1), tall * tf.gather(wide, first), tf.int64.max)
    best = tf.argmin(cost)
    chosen = tf.stack([rows[best], columns[first[best]]])
    return tf.cast(tf.where(cost[best] < tf.int64.max, chosen, tf.stack([rows[-1], columns[-1]])), tf.int32)


def _splits(size: int | tf.Tensor, overlap_px: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return, int64 ``[S]`` for 1 to S tiles along an axis: pixels of a tile, of the largest with overlap, of all."""
    size, overlap_px = tf.cast(size, tf.int64), tf.cast(overlap_px, tf.int64)
    numbers = tf.range(1, tf.maximum(size // MIN_TILE_PX, 1) + 1)
    steps = (size + numbers - 1) // numbers
    starts = tf.range(tf.size(numbers, tf.int64)) * steps[:, tf.newaxis]
    lengths = tf.minimum(starts + steps[:, tf.newaxis] + overlap_px, size) - tf.maximum(starts - overlap_px, 0)
    lengths = tf.where(starts < size, lengths, 0)
    return steps, tf.reduce_max(lengths, axis=1), tf.reduce_sum(lengths, axis=1)
