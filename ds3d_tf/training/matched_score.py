"""Localizing with a network in memory, and the figures of merit that a training run shows after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ds3d_tf.evaluation.comparison import compare
from ds3d_tf.evaluation.metrics import metrics
from ds3d_tf.localization.peaks.peaks import find_peaks
from ds3d_tf.simulation.voxel_grid import VoxelGrid

_NAMES = {"jaccard": "matched_jaccard", "rmse_lateral_nm": "rmse_lateral_nm", "rmse_axial_nm": "rmse_axial_nm"}

NetworkLocalizer = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def network_localizer(model: Any, setup: Any) -> NetworkLocalizer:
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


def matched_score(setup: Any, batches: tf.data.Dataset, frames: int | None = None) -> Callable[[Any], dict[str, float]]:
    """Return a function that localizes validation frames with a model and compares them with the truth.

    It gives ``matched_jaccard``, and where a pair was found ``rmse_lateral_nm`` and ``rmse_axial_nm``.

    Args:
        setup: the ``Setup``: grid, threshold and radius.
        batches: (normalized frames float32 ``[B, H, W]``, no unit; emitters float32 ``[B, E, 4]``: µm and weight).
        frames: how many frames to look at, rounded up to whole batches; None: all.
    """
    if frames is not None:
        batches = batches.take(math.ceil(frames / setup.learning.batch_size))
    localizers: dict[int, tuple[Any, NetworkLocalizer]] = {}

    def score(model: Any) -> dict[str, float]:
        if id(model) not in localizers:
            localizers[id(model)] = (model, network_localizer(model, setup))
        localize = localizers[id(model)][1]
        truth: list[np.ndarray] = []
        found: list[np.ndarray] = []
        for normalized, emitters in batches:
            xyz_um, count = (result.numpy() for result in localize(normalized))
            found += [rows[:number] for rows, number in zip(xyz_um, count, strict=True)]
            truth += [rows[rows[:, 3] > 0, :3] for rows in emitters.numpy()]
        figures = metrics(compare(truth, found))
        return {name: figures[key] for key, name in _NAMES.items() if figures[key] is not None}

    return score
