"""Localizing with a network in memory, before it is exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ds3d_tf.localization.peaks.peaks import find_peaks
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.voxel_grid import VoxelGrid

NetworkLocalizer = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def network_localizer(model: Any, setup: Setup) -> NetworkLocalizer:
    """Return a compiled function that localizes with a network that is not exported.

    It maps normalized frames, float32 ``[B, H, W]`` without unit, to xyz_um float32 ``[B, K, 3]`` (µm, zero-padded) and
    count int32 ``[B]``.
    """
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
