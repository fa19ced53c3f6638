"""The figures of merit that a training run shows after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ds3d_tf.evaluation.comparison import compare
from ds3d_tf.evaluation.metrics import metrics
from ds3d_tf.localization.peaks import find_peaks
from ds3d_tf.simulation.voxel_grid import VoxelGrid


def matched_score(setup: Any, batches: tf.data.Dataset, frames: int | None = None) -> Callable[[Any], dict[str, float]]:
    """Return a function that localizes validation frames with a model and compares them with the truth.

    It gives ``matched_jaccard``, and where a pair was found ``rmse_lateral_nm`` and ``rmse_axial_nm``.

    Args:
        setup: the ``Setup``: grid, threshold and radius.
        batches: (normalized frames float32 ``[B, H, W]``, no unit; emitters float32 ``[B, E, 4]``: µm and weight).
        frames: how many frames to look at, rounded up to whole batches; None: all.
    """
    learning, grid = setup.learning, VoxelGrid.from_setup(setup)
    if frames is not None:
        batches = batches.take(math.ceil(frames / learning.batch_size))
    localize: dict[int, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]] = {}

    def localizer(model: Any) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        @tf.function(reduce_retracing=True, autograph=False)
        def positions(normalized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            voxels, _, count = find_peaks(
                model(normalized, training=False),
                learning.peak_threshold,
                learning.peak_radius_voxels,
                learning.keep_single_z,
            )
            return grid.positions_um(voxels, (normalized.shape[1], normalized.shape[2])), count

        return positions

    def score(model: Any) -> dict[str, float]:
        positions = localize.setdefault(id(model), localizer(model))
        truth: list[np.ndarray] = []
        found: list[np.ndarray] = []
        for normalized, emitters in batches:
            xyz_um, count = (result.numpy() for result in positions(normalized))
            found += [rows[:number] for rows, number in zip(xyz_um, count, strict=True)]
            truth += [rows[rows[:, 3] > 0, :3] for rows in emitters.numpy()]
        figures = metrics(compare(truth, found))
        return {
            name: figures[key]
            for name, key in (
                ("matched_jaccard", "jaccard"),
                ("rmse_lateral_nm", "rmse_lateral_nm"),
                ("rmse_axial_nm", "rmse_axial_nm"),
            )
            if figures[key] is not None
        }

    return score
