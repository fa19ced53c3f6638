"""Localizing with a network in memory, before it is exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ds3d_tf.localization.peaks.peaks import find_peaks
from ds3d_tf.localization.peaks.pixel_peaks import emitters_of_maps, padded_emitters
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.pixel_grid import PixelGrid
from ds3d_tf.simulation.voxel_grid import VoxelGrid

NetworkLocalizer = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def network_localizer(model: Any, setup: Setup) -> NetworkLocalizer:
    """Return a compiled function that localizes with a network that is not exported.

    It maps normalized frames, float32 ``[B, H, W]`` without unit, to xyz_um float32 ``[B, K, 3]`` (µm, zero-padded) and
    count int32 ``[B]``.
    """
    if setup.learning.network == "pixel":
        measure = network_measurer(model, setup)

        def positions_and_count(normalized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            xyz_um, _, count, _ = measure(normalized)
            return xyz_um, count

        return positions_and_count
    learning, grid = setup.learning, VoxelGrid.from_setup(setup)

    def peaks(volume: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        voxels, _, count = find_peaks(
            volume, learning.peak_threshold, learning.peak_radius_voxels, learning.keep_single_z
        )
        return voxels, count

    if keras.backend.backend() != "tensorflow":
        compiled_peaks = tf.function(peaks, reduce_retracing=True, autograph=False)

        def positions_elsewhere(normalized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            voxels, count = compiled_peaks(tf.constant(model.predict_on_batch(normalized.numpy())))
            xyz_um = grid.positions_um(voxels.numpy(), tuple(normalized.shape[1:3]))
            return tf.constant(keras.ops.convert_to_numpy(xyz_um)), count

        return positions_elsewhere

    @tf.function(reduce_retracing=True, autograph=False)
    def positions(normalized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        voxels, count = peaks(model(normalized, training=False))
        shape = tf.shape(normalized)
        return grid.positions_um(voxels, (shape[1], shape[2])), count

    return positions


def network_measurer(model: Any, setup: Setup) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Return a compiled function that localizes with a pixel network that is not exported.

    It maps normalized frames, float32 ``[B, H, W]`` (or with their context ``[B, H, W, 3]``) without unit, to xyz_um
    ``[B, K, 3]`` (µm, zero-padded), confidence ``[B, K]``, count int32 ``[B]`` and details ``[B, K, 6]``: photons and
    background in photoelectrons, σ of x, y and z in µm, σ of the photons.
    """
    threshold, grid = setup.learning.peak_threshold, PixelGrid.from_setup(setup)

    def emitters(maps: tf.Tensor) -> tuple[tf.Tensor, ...]:
        shape = tf.shape(maps)
        return padded_emitters(*emitters_of_maps(maps, threshold), grid, (shape[0], shape[1], shape[2]))

    if keras.backend.backend() != "tensorflow":
        compiled = tf.function(emitters, reduce_retracing=True, autograph=False)
        return lambda normalized: compiled(tf.constant(model.predict_on_batch(normalized.numpy())))
    return tf.function(
        lambda normalized: emitters(model(normalized, training=False)), reduce_retracing=True, autograph=False
    )
