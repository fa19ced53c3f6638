"""The metrics of matched localizations that a training run shows after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ds3d_tf.evaluation.comparison import compare
from ds3d_tf.evaluation.metrics import metrics
from ds3d_tf.localization.in_memory import NetworkLocalizer, network_localizer
from ds3d_tf.setup import Setup

_NAMES = {"jaccard": "matched_jaccard", "rmse_lateral_nm": "rmse_lateral_nm", "rmse_axial_nm": "rmse_axial_nm"}


def matched_score(
    setup: Setup, batches: tf.data.Dataset, frames: int | None = None
) -> Callable[[Any], dict[str, float]]:
    """Return a function that localizes validation frames with a model and compares them with the truth.

    It returns ``matched_jaccard`` and, if any localization was matched, ``rmse_lateral_nm`` and ``rmse_axial_nm``.

    Args:
        setup: the ``Setup``: grid, threshold and radius.
        batches: (normalized frames float32 ``[B, H, W]``, no unit; emitters float32 ``[B, E, 4]``: µm and weight).
        frames: number of frames to use, rounded up to whole batches; None: all.
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
        values = metrics(compare(truth, found))
        return {name: values[key] for key, name in _NAMES.items() if values[key] is not None}

    return score
