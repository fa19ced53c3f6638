"""Peaks of a predicted volume, found from the few voxels above threshold, in TensorFlow operations only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

# Voxels gathered at a time: bounds the memory of every step at a few tens of MB.
_CHUNK_VOXELS = 2**21


def find_peaks(
    volume: np.ndarray | tf.Tensor,
    threshold: float | tf.Tensor,
    radius_voxels: int | tf.Tensor,
    keep_single_z: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the local maxima of a prediction, placed at the centre of mass of their neighbourhood.

    A peak is a voxel above ``threshold`` that is the maximum of its (2r+1)³ neighbourhood, zero beyond the
    border (Nehme et al., Nature Methods 2020). The network's clip makes plateaus of equal maxima that lie in one
    another's neighbourhoods, directly or through others. Of each plateau only the maximum nearest to their mean
    stays, so no two peaks are within the radius. The volume is read once; everything else works on candidates.

    Args:
        volume: float ``[B, 4H, 4W, D]`` (batch, row, column, depth), the network's output in [0, s], no unit.
        threshold: number or scalar tensor; smallest confidence, exclusive.
        radius_voxels: int or scalar integer tensor, r in voxels; 0 makes every voxel above threshold a peak.
        keep_single_z: of peaks whose columns lie within the radius keep only the one of highest confidence.

    Returns:
        voxels: float32 ``[B, K, 3]`` (row, column, depth), fractional voxel indices, raster order, zero-padded.
        confidence: float32 ``[B, K]``, value of the peak's voxel, no unit, zero-padded.
        count: int32 ``[B]``, number of peaks of each batch entry, a count.

    Raises:
        ValueError: if ``volume`` is not of rank 4, or ``radius_voxels`` is a negative number.
    """
    volume = tf.convert_to_tensor(volume)
    if isinstance(radius_voxels, int) and radius_voxels < 0:
        raise ValueError(f"radius_voxels: expected 0 or more, got {radius_voxels}")
    maxima = local_maxima(volume, threshold, radius_voxels)
    return peaks_of_maxima(*maxima, tf.shape(volume, out_type=tf.int64), radius_voxels, keep_single_z)


def local_maxima(
    volume: tf.Tensor,
    threshold: float | tf.Tensor,
    radius_voxels: int | tf.Tensor,
    box: tuple[Any, Any, Any, Any] | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the voxels above ``threshold`` that are the maximum of their neighbourhood, plateaus in full.

    Args:
        volume: float ``[B, R, C, D]`` (batch, row, column, depth), confidence.
        threshold: number or scalar tensor; smallest confidence, exclusive.
        radius_voxels: int or scalar integer tensor, r in voxels.
        box: first and last row (exclusive), first and last column of the voxels to return; neighbours may lie outside.

    Returns:
        voxels: int64 ``[M, 4]`` (batch, row, column, depth), voxel indices, raster order.
        tied: bool ``[M]``, True where an equal voxel lies in the neighbourhood.
        offset: float32 ``[M, 3]`` (row, column, depth), voxels from the voxel to the centre of mass.
        confidence: float32 ``[M]``, value of the voxel, no unit.

    Raises ValueError if ``volume`` is not of rank 4.
    """
    volume = tf.convert_to_tensor(volume)
    if volume.shape.rank != 4:
        raise ValueError(f"volume: expected [batch, row, column, depth], got shape {volume.shape}")
    threshold = tf.cast(threshold, tf.float32)
    radius = tf.cast(radius_voxels, tf.int64)
    shape = tf.shape(volume, out_type=tf.int64)

    flat = tf.reshape(volume, [-1])
    voxels = _candidates(volume, threshold, radius, box)
    # A direct neighbour already rules out most candidates; only the others need their whole neighbourhood.
    maxima = _neighbourhood_maxima(flat, shape, voxels, tf.minimum(radius, 1))[0]
    voxels = tf.gather(voxels, tf.where(maxima)[:, 0])
    maxima, tied, offset, confidence = _neighbourhood_maxima(flat, shape, voxels, radius)
    kept = tf.where(maxima)[:, 0]
    return tf.gather(voxels, kept), tf.gather(tied, kept), tf.gather(offset, kept), tf.gather(confidence, kept)


def peaks_of_maxima(
    voxels: tf.Tensor,
    tied: tf.Tensor,
    offset: tf.Tensor,
    confidence: tf.Tensor,
    shape: tf.Tensor,
    radius_voxels: int | tf.Tensor,
    keep_single_z: bool,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return what :func:`find_peaks` does from all local maxima of the volumes.

    Args:
        voxels: int64 ``[M, 4]`` (batch, row, column, depth), voxel indices, raster order.
        tied: bool ``[M]``, True where an equal voxel lies in the neighbourhood.
        offset: float32 ``[M, 3]`` (row, column, depth), voxels from the voxel to the centre of mass.
        confidence: float32 ``[M]``, value of the voxel, no unit.
        shape: int64 ``[4]``: B, 4H, 4W, D in voxels.
        radius_voxels: int or scalar integer tensor, r in voxels.
        keep_single_z: of peaks whose columns lie within the radius keep only the one of highest confidence.

    Returns:
        voxels float32 ``[B, K, 3]``, confidence float32 ``[B, K]`` and count int32 ``[B]``.
    """
    radius = tf.cast(radius_voxels, tf.int64)
    kept = tf.where(_one_of_each_plateau(voxels, tied, shape, radius))[:, 0]
    voxels, offset, confidence = (tf.gather(x, kept) for x in (voxels, offset, confidence))
    if keep_single_z:
        kept = tf.where(_highest_of_columns(voxels, confidence, radius))[:, 0]
        voxels, offset, confidence = (tf.gather(x, kept) for x in (voxels, offset, confidence))
    return _pad(voxels[:, 0], tf.cast(voxels[:, 1:], tf.float32) + offset, confidence, shape[0])


def _candidates(volume: tf.Tensor, threshold: tf.Tensor, radius: tf.Tensor, box: tuple | None) -> tf.Tensor:
    """Return int64 [M, 4] (batch, row, column, depth) of voxels above threshold and not below their z neighbours."""
    # The only pass over the whole volume; a comparison of all voxels would take five times as long.
    columns = tf.where(tf.cast(_highest(volume), tf.float32) > threshold)
    if box is not None:
        first_row, last_row, first_column, last_column = (tf.cast(edge, tf.int64) for edge in box)
        row, column = columns[:, 1], columns[:, 2]
        inside = (row >= first_row) & (row < last_row) & (column >= first_column) & (column < last_column)
        columns = tf.boolean_mask(columns, inside)

    def peaks_of(chunk: tf.Tensor) -> tuple[tf.Tensor]:
        values = tf.cast(tf.gather_nd(volume, chunk), tf.float32)
        rising = tf.pad(values[:, 1:] >= values[:, :-1], [[0, 0], [1, 0]], constant_values=True)
        falling = tf.pad(values[:, :-1] >= values[:, 1:], [[0, 0], [0, 1]], constant_values=True)
        found = tf.where((values > threshold) & ((rising & falling) | (radius < 1)))
        return (tf.concat([tf.gather(chunk, found[:, 0]), found[:, 1:]], axis=1),)

    chunk = _CHUNK_VOXELS // tf.maximum(tf.shape(volume, out_type=tf.int64)[-1], 1)
    return _in_chunks(peaks_of, columns, chunk, (tf.TensorSpec([None, 4], tf.int64),))[0]


def _highest(volume: tf.Tensor) -> tf.Tensor:
    """Return the highest value of each column, ``[B, R, C]``; of columns negative throughout, a negative one."""
    if volume.dtype != tf.bfloat16:
        return tf.reduce_max(volume, axis=-1)
    # The bits of floats that are not negative are ordered as integers, which processors compare four times as fast.
    return tf.bitcast(tf.reduce_max(tf.bitcast(volume, tf.int16), axis=-1), tf.bfloat16)


def _neighbourhood_maxima(
    flat: tf.Tensor, shape: tf.Tensor, voxels: tf.Tensor, radius: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Return for each voxel: is it the maximum, has it an equal, offset to the centre of mass [M, 3], its value."""
    steps = tf.cast(tf.range(-radius, radius + 1), tf.float32)

    def test(chunk: tf.Tensor) -> tuple[tf.Tensor, ...]:
        index, inside = _neighbours(chunk, shape, radius)
        values = tf.where(inside, tf.cast(tf.gather(flat, index), tf.float32), 0.0)
        centre = values[:, radius, radius, radius]
        maximum = centre >= tf.reduce_max(values, axis=[1, 2, 3])
        equal = inside & (values == centre[:, tf.newaxis, tf.newaxis, tf.newaxis])
        tied = tf.math.count_nonzero(equal, axis=[1, 2, 3]) > 1
        planes = tf.reduce_sum(values, axis=3)
        moments = [
            tf.linalg.matvec(tf.reduce_sum(planes, axis=2), steps),
            tf.linalg.matvec(tf.reduce_sum(planes, axis=1), steps),
            tf.linalg.matvec(tf.reduce_sum(values, axis=[1, 2]), steps),
        ]
        mass = tf.reduce_sum(planes, axis=[1, 2])
        return maximum, tied, tf.math.divide_no_nan(tf.stack(moments, axis=1), mass[:, tf.newaxis]), centre

    specs = (
        tf.TensorSpec([None], tf.bool),
        tf.TensorSpec([None], tf.bool),
        tf.TensorSpec([None, 3], tf.float32),
        tf.TensorSpec([None], tf.float32),
    )
    return _in_chunks(test, voxels, _CHUNK_VOXELS // (2 * radius + 1) ** 3, specs)


def _neighbours(voxels: tf.Tensor, shape: tf.Tensor, radius: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return flat indices [M, w, w, w] of the neighbourhoods (clipped at the border) and which lie inside."""
    steps = tf.range(-radius, radius + 1)
    index, inside = voxels[:, 0, tf.newaxis, tf.newaxis, tf.newaxis], tf.constant(True)
    for axis, insert in ((1, (2, 3)), (2, (1, 3)), (3, (1, 2))):
        place = voxels[:, axis, tf.newaxis] + steps
        bounded = tf.clip_by_value(place, 0, shape[axis] - 1)
        ok = place == bounded
        for position in insert:
            bounded, ok = tf.expand_dims(bounded, position), tf.expand_dims(ok, position)
        index, inside = index * shape[axis] + bounded, inside & ok
    return index, inside


def _one_of_each_plateau(voxels: tf.Tensor, tied: tf.Tensor, shape: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
    """Return bool [M]: untied maxima, and of each group of linked equal ones the member nearest to its mean."""
    members = tf.where(tied)[:, 0]
    voxels = tf.gather(voxels, members)
    total = tf.size(members, out_type=tf.int64)
    # Raster order, so ascending; two maxima within the radius of each other are equal by definition.
    identity = ((voxels[:, 0] * shape[1] + voxels[:, 1]) * shape[2] + voxels[:, 2]) * shape[3] + voxels[:, 3]

    def spread(labels: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def smallest(chunk: tf.Tensor) -> tuple[tf.Tensor]:
            index, inside = _neighbours(chunk, shape, radius)
            place = tf.searchsorted(identity, tf.reshape(index, [-1]), out_type=tf.int64)
            place = tf.reshape(tf.minimum(place, total - 1), tf.shape(index))
            linked = inside & (tf.gather(identity, place) == index)
            return (tf.reduce_min(tf.where(linked, tf.gather(labels, place), total), axis=[1, 2, 3]),)

        chunk = _CHUNK_VOXELS // (2 * radius + 1) ** 3
        lowest = _in_chunks(smallest, voxels, chunk, (tf.TensorSpec([None], tf.int64),))[0]
        lowest = tf.gather(lowest, lowest)
        return lowest, tf.reduce_any(lowest != labels)

    labels, _ = tf.while_loop(
        lambda _, changed: changed,
        spread,
        (tf.range(total), total > 0),
        shape_invariants=(tf.TensorShape([None]), tf.TensorShape([])),
    )
    # Integers times the member count instead of a mean: ties of distance are exact, the first in raster order wins.
    local = voxels[:, 1:] - tf.gather(voxels, labels)[:, 1:]
    sizes = tf.math.unsorted_segment_sum(tf.ones_like(labels), labels, total)
    sums = tf.math.unsorted_segment_sum(local, labels, total)
    distance = tf.reduce_sum((local * tf.gather(sizes, labels)[:, tf.newaxis] - tf.gather(sums, labels)) ** 2, axis=1)
    nearest = distance == tf.gather(tf.math.unsorted_segment_min(distance, labels, total), labels)
    order = tf.range(total)
    first = tf.math.unsorted_segment_min(tf.where(nearest, order, total), labels, total)
    return tf.tensor_scatter_nd_update(~tied, members[:, tf.newaxis], order == tf.gather(first, labels))


def _highest_of_columns(voxels: tf.Tensor, confidence: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
    """Return bool [M]: peaks with no higher kept peak whose column lies within the radius."""
    order = tf.argsort(confidence, direction="DESCENDING", stable=True)
    sorted_voxels = tf.gather(voxels, order)
    batch, columns = sorted_voxels[:, 0], sorted_voxels[:, 1:3]
    ranks = tf.range(tf.size(order))

    def step(rank: tf.Tensor, alive: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        near = tf.reduce_max(tf.abs(columns - columns[rank]), axis=1) <= radius
        beaten = near & (batch == batch[rank]) & (ranks > rank) & alive[rank]
        return rank + 1, alive & ~beaten

    alive = tf.ones_like(order, tf.bool)
    _, alive = tf.while_loop(lambda rank, _: rank < tf.size(order), step, (tf.constant(0), alive))
    return tf.scatter_nd(order[:, tf.newaxis], tf.cast(alive, tf.int32), tf.shape(order)) > 0


def _pad(
    batch: tf.Tensor, voxels: tf.Tensor, confidence: tf.Tensor, batch_size: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    count = tf.math.unsorted_segment_sum(tf.ones_like(batch), batch, batch_size)
    longest = tf.reduce_max(tf.concat([count, [0]], axis=0))
    slot = tf.range(tf.size(batch, out_type=tf.int64)) - tf.gather(tf.cumsum(count, exclusive=True), batch)
    places = tf.stack([batch, slot], axis=1)
    padded = tf.scatter_nd(places, voxels, [batch_size, longest, 3])
    return padded, tf.scatter_nd(places, confidence, [batch_size, longest]), tf.cast(count, tf.int32)


def _in_chunks(
    function: Callable[[tf.Tensor], tuple[tf.Tensor, ...]],
    rows: tf.Tensor,
    chunk: tf.Tensor,
    specs: tuple[tf.TensorSpec, ...],
) -> tuple[tf.Tensor, ...]:
    """Return ``function`` of all rows, evaluated on at most ``chunk`` rows at a time and joined."""
    total = tf.shape(rows, out_type=tf.int64)[0]
    chunk = tf.maximum(tf.cast(chunk, tf.int64), 1)
    steps = tf.cast(tf.maximum((total + chunk - 1) // chunk, 1), tf.int32)
    arrays = tuple(
        tf.TensorArray(spec.dtype, size=steps, infer_shape=False, element_shape=spec.shape) for spec in specs
    )

    def body(step: tf.Tensor, arrays: tuple[tf.TensorArray, ...]) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...]]:
        start = tf.cast(step, tf.int64) * chunk
        results = function(rows[start : start + chunk])
        return step + 1, tuple(array.write(step, result) for array, result in zip(arrays, results, strict=True))

    # One chunk at a time: parallel iterations would multiply the memory.
    _, arrays = tf.while_loop(lambda step, _: step < steps, body, (tf.constant(0), arrays), parallel_iterations=1)
    return tuple(array.concat() for array in arrays)
