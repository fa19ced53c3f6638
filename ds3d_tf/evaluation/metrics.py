"""Metrics: how many emitters are found, and how exactly."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ds3d_tf.evaluation.comparison import Comparison

_MAX_NUMBER_GROUPS = 8
_DEPTH_GROUPS = 8


def metrics(comparison: Comparison, z_range_um: tuple[float, float] | None = None) -> dict[str, Any]:
    """Return all metrics as plain numbers; a metric that is undefined (an error without a pair) is None.

    ``jaccard`` = TP / (TP + FP + FN) over all frames together; ``jaccard_frame_mean`` is its mean over the frames;
    lateral RMSE = sqrt(mean(dx² + dy²)), axial sqrt(mean(dz²)), bias = mean error. ``by_emitter_number`` and
    ``by_depth`` hold the same metrics for groups of frames and for slices of ``z_range_um`` (that of the emitters if
    None). A pair and a missed emitter count in the emitter's slice, a false localization in the localization's slice.
    """
    whole = _select(comparison, np.ones(len(comparison.truth_um), bool), np.ones(len(comparison.found_um), bool))
    return {
        "frames": len(comparison.emitter_number),
        "tolerance_nm": comparison.tolerance_um * 1000,
        **whole,
        "jaccard_frame_mean": _mean(frame_jaccard(comparison)),
        "by_emitter_number": _by_emitter_number(comparison),
        "by_depth": _by_depth(comparison, z_range_um),
    }


def frame_jaccard(comparison: Comparison) -> np.ndarray:
    """Return the Jaccard index of each frame: float64 ``[F]``, no unit; 1 for an empty frame with nothing found."""
    frames = len(comparison.emitter_number)
    truth = np.bincount(comparison.truth_frame, minlength=frames)
    found = np.bincount(comparison.found_frame, minlength=frames)
    matched = np.bincount(comparison.truth_frame[comparison.pairs[:, 0]], minlength=frames)
    union = truth + found - matched
    return np.where(union > 0, matched / np.maximum(union, 1), 1.0)


def _select(comparison: Comparison, truth: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Return the metrics of the emitters ``truth`` and the localizations ``found`` (bool masks)."""
    pairs = truth[comparison.pairs[:, 0]]
    # A pair counts in the group of its emitter, even if its localization lies in another group.
    matched_found = comparison.pairs[:, 1]
    unmatched = found.copy()
    unmatched[matched_found] = False
    tp, fn, fp = int(pairs.sum()), int(truth.sum() - pairs.sum()), int(unmatched.sum())
    error = comparison.error_nm[pairs]
    lateral, axial = np.sum(error[:, :2] ** 2, axis=1), error[:, 2] ** 2
    bias = error.mean(axis=0) if tp else [None] * 3
    return {
        "emitters": tp + fn,
        "localizations": tp + fp,
        "matched": tp,
        "jaccard": tp / (tp + fp + fn) if tp + fp + fn else 1.0,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "rmse_lateral_nm": float(np.sqrt(lateral.mean())) if tp else None,
        "rmse_axial_nm": float(np.sqrt(axial.mean())) if tp else None,
        "bias_x_nm": _number(bias[0]),
        "bias_y_nm": _number(bias[1]),
        "bias_z_nm": _number(bias[2]),
    }


def _by_emitter_number(comparison: Comparison) -> list[dict[str, Any]]:
    numbers, jaccard = comparison.emitter_number, frame_jaccard(comparison)
    different = np.unique(numbers)
    if len(different) <= _MAX_NUMBER_GROUPS:
        groups = [(number, number) for number in different]
    else:
        edges = np.unique(np.round(np.linspace(different[0], different[-1] + 1, _MAX_NUMBER_GROUPS + 1)).astype(int))
        groups = [(low, high - 1) for low, high in itertools.pairwise(edges)]
    result = []
    for low, high in groups:
        frames = (numbers >= low) & (numbers <= high)
        if frames.any():
            values = _select(comparison, frames[comparison.truth_frame], frames[comparison.found_frame])
            group = {"emitters_from": int(low), "emitters_to": int(high), "frames": int(frames.sum())}
            result.append({**group, **values, "jaccard_frame_mean": _mean(jaccard[frames])})
    return result


def _by_depth(comparison: Comparison, z_range_um: tuple[float, float] | None) -> list[dict[str, Any]]:
    z_truth, z_found = comparison.truth_um[:, 2], comparison.found_um[:, 2]
    if z_range_um is None:
        if not len(z_truth):
            return []
        z_range_um = (float(z_truth.min()), float(z_truth.max()))
    edges = np.linspace(*z_range_um, _DEPTH_GROUPS + 1)
    slice_of_truth, slice_of_found = (
        np.clip(np.searchsorted(edges, z, side="right") - 1, 0, _DEPTH_GROUPS - 1) for z in (z_truth, z_found)
    )
    return [
        {
            "z_from_um": float(edges[i]),
            "z_to_um": float(edges[i + 1]),
            **_select(comparison, slice_of_truth == i, slice_of_found == i),
        }
        for i in range(_DEPTH_GROUPS)
    ]


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
