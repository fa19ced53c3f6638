"""Localizing tile by tile with the whole frame's result, in TensorFlow operations only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ds3d_tf.localization.peaks.peaks import local_maxima, peaks_of_maxima
from ds3d_tf.localization.peaks.tiles import tile_overlap_px
from ds3d_tf.simulation.voxel_grid import VOXELS_PER_PIXEL


def localize_in_tiles(
    frames: tf.Tensor,
    predict: Callable[[tf.Tensor, Callable[[tf.Tensor], Any]], Any],
    tile: tuple[tf.Tensor, tf.Tensor],
    receptive_radius_px: int,
    threshold: tf.Tensor,
    radius_voxels: tf.Tensor,
    keep_single_z: bool,
    depth_voxels: int,
    frames_a_step: tf.Tensor | None = None,
    voxels_per_pixel: int = VOXELS_PER_PIXEL,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the peaks of a network's prediction without ever holding more of it than one tile.

    Args:
        frames: float32 ``[B, H, W]``, normalized frames.
        predict: ``predict(part, use)`` returns ``use`` of the network's output for normalized frames ``part``.
        tile: scalar int32 tensors (rows, columns), pixels; 0 or less stands for the whole frame.
        receptive_radius_px: largest distance, in pixels, at which the network sees (half its receptive field).
        threshold: float32 scalar, smallest confidence, exclusive.
        radius_voxels: int32 scalar, radius of a peak, voxels.
        keep_single_z: of peaks whose columns lie within the radius keep only the most confident.
        depth_voxels: D.
        frames_a_step: scalar int32 tensor, number of frames (a count) predicted at a time; None: all.
        voxels_per_pixel: voxels along a side of a pixel.

    Returns:
        voxels float32 ``[B, K, 3]`` (row, column, depth), fractional voxel indices; confidence float32 ``[B, K]``;
        count int32 ``[B]``; as ``find_peaks`` does of the whole frame.
    """
    shape = tf.shape(frames)
    height, width = shape[1], shape[2]
    rows = tf.where(tile[0] > 0, tf.minimum(tile[0], height), height)
    columns = tf.where(tile[1] > 0, tf.minimum(tile[1], width), width)
    across = (width + columns - 1) // columns
    tiles = across * ((height + rows - 1) // rows)
    together = tf.maximum(shape[0] if frames_a_step is None else frames_a_step, 1)
    steps = tiles * ((shape[0] + together - 1) // together)
    overlap_px = tile_overlap_px(receptive_radius_px, radius_voxels, voxels_per_pixel)
    specs = ((tf.int64, [None, 4]), (tf.bool, [None]), (tf.float32, [None, 3]), (tf.float32, [None]))
    arrays = tuple(
        tf.TensorArray(dtype, size=steps, infer_shape=False, element_shape=element) for dtype, element in specs
    )

    def body(index: tf.Tensor, arrays: tuple[tf.TensorArray, ...]) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...]]:
        first, tile_index = index // tiles * together, index % tiles
        top, left = tile_index // across * rows, tile_index % across * columns
        bottom, right = tf.minimum(top + rows, height), tf.minimum(left + columns, width)
        first_row, first_column = tf.maximum(top - overlap_px, 0), tf.maximum(left - overlap_px, 0)
        part = frames[first : first + together, first_row : bottom + overlap_px, first_column : right + overlap_px]
        box = (top - first_row, bottom - first_row, left - first_column, right - first_column)
        box = tuple(voxels_per_pixel * edge for edge in box)
        voxels, tied, offset, confidence = predict(
            part, lambda volume: local_maxima(volume, threshold, radius_voxels, box)
        )
        corner = tf.stack([first, voxels_per_pixel * first_row, voxels_per_pixel * first_column, 0])
        found = (voxels + tf.cast(corner, tf.int64), tied, offset, confidence)
        return index + 1, tuple(array.write(index, value) for array, value in zip(arrays, found, strict=True))

    # One step at a time: parallel iterations would multiply the memory.
    _, arrays = tf.while_loop(lambda index, _: index < steps, body, (tf.constant(0), arrays), parallel_iterations=1)
    full = tf.stack([shape[0], voxels_per_pixel * height, voxels_per_pixel * width, depth_voxels])
    maxima = tuple(array.concat() for array in arrays)
    return _peaks_of_unordered(maxima, tf.cast(full, tf.int64), radius_voxels, keep_single_z)


def peaks_of_tiles(
    tiles: Sequence[tuple[tf.Tensor, ...]], full: Sequence[int], radius_voxels: int, keep_single_z: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return what ``find_peaks`` does of a whole volume from the local maxima of the tiles that cover it.

    Args:
        tiles: of each tile what ``local_maxima`` returns: int64 ``[M, 4]`` voxel indices, of the whole volume, bool
            ``[M]``, float32 ``[M, 3]`` voxels and float32 ``[M]`` confidence.
        full: B, 4H, 4W, D of the whole volume in voxels.
        radius_voxels: radius of a peak, voxels.
        keep_single_z: of peaks whose columns lie within the radius keep only the most confident.

    Returns:
        voxels float32 ``[B, K, 3]`` (row, column, depth), confidence float32 ``[B, K]``, count int32 ``[B]``.
    """
    maxima = tuple(tf.concat(values, axis=0) for values in zip(*tiles, strict=True))
    return _peaks_of_unordered(maxima, tf.constant(full, tf.int64), radius_voxels, keep_single_z)


def _peaks_of_unordered(
    maxima: tuple[tf.Tensor, ...], full: tf.Tensor, radius_voxels: Any, keep_single_z: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    voxels, tied, offset, confidence = maxima
    place = ((voxels[:, 0] * full[1] + voxels[:, 1]) * full[2] + voxels[:, 2]) * full[3] + voxels[:, 3]
    order = tf.argsort(place)
    voxels, tied, offset, confidence = (tf.gather(values, order) for values in (voxels, tied, offset, confidence))
    return peaks_of_maxima(voxels, tied, offset, confidence, full, radius_voxels, keep_single_z)
