"""Which detections are one molecule: links from frame to frame."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ds3d_tf.common.progress import Progress, no_progress

_NEAREST = 8
_FAR = 1e30


def link(
    frame: np.ndarray,
    xyz_nm: np.ndarray,
    sigma_nm: np.ndarray,
    radius: float,
    gap_frames: int,
    *,
    exact_groups: bool = False,
    memory: float = np.inf,
    progress: Progress = no_progress,
    task: str = "grouping",
) -> np.ndarray:
    """Return the group of each detection.

    From frame to frame, a detection joins the group whose weighted mean position is nearest, in units of the standard
    deviation of the difference of the two, if that is within ``radius``; the closest pairs are joined first.

    Args:
        frame: int ``[N]``, in any order, no unit.
        xyz_nm: float ``[N, 3]`` (x, y, z), nm.
        sigma_nm: float ``[N, 3]``, standard deviations, nm; NaN or inf: this axis does not count.
        radius: largest distance, in standard deviations.
        gap_frames: frames in which a molecule may be missing.
        exact_groups: whether a group's position counts as exact, so that the distance does not depend on its size.
        memory: detections after which a group forgets where it was, for what moves slowly; inf: never.
        progress: told how many detections are done.
        task: what to call it.

    Returns:
        int64 ``[N]``: index of each detection's group, from 0 in the order of first frames; no unit.
    """
    order = np.argsort(frame, kind="stable")
    frame, xyz_nm, sigma_nm = frame[order], xyz_nm[order], sigma_nm[order]
    weight = np.where(np.isfinite(sigma_nm), 1 / np.square(np.nan_to_num(sigma_nm, nan=1.0, posinf=1.0)), 0.0)
    group = np.full(len(frame), -1, np.int64)
    starts = np.flatnonzero(np.diff(frame, prepend=frame[0] - 1)) if len(frame) else np.zeros(0, np.int64)
    ends = np.append(starts[1:], len(frame))
    ids, last = np.zeros(0, np.int64), np.zeros(0, np.int64)
    sums, weights = np.zeros((0, 3)), np.zeros((0, 3))
    count = 0
    for start, end in zip(starts, ends, strict=True):
        now = frame[start]
        alive = last >= now - gap_frames - 1
        ids, last, sums, weights = ids[alive], last[alive], sums[alive], weights[alive]
        here, here_weight = xyz_nm[start:end], weight[start:end]
        sureness = np.full_like(weights, np.inf) if exact_groups else weights
        found, of = _pairs(here, here_weight, sums / np.maximum(weights, 1e-300), sureness, radius)
        group[start + found] = ids[of]
        keep = 1 - 1 / memory
        sums[of] = keep * sums[of] + here_weight[found] * here[found]
        weights[of] = keep * weights[of] + here_weight[found]
        last[of] = now
        new = np.flatnonzero(group[start:end] < 0)
        group[start + new] = count + np.arange(len(new))
        ids = np.concatenate([ids, group[start + new]])
        last = np.concatenate([last, np.full(len(new), now)])
        sums = np.concatenate([sums, here_weight[new] * here[new]])
        weights = np.concatenate([weights, here_weight[new]])
        count += len(new)
        progress(task, int(end), len(frame))
    in_given_order = np.empty_like(group)
    in_given_order[order] = group
    return in_given_order


def _pairs(
    here: np.ndarray, here_weight: np.ndarray, mean: np.ndarray, weight: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of detections and of the groups that they join, each at most once."""
    if not len(mean):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    widest = np.sqrt(1 / here_weight[:, :2].min() + 1 / weight[:, :2].min())
    near = min(_NEAREST, len(mean))
    distance, place = cKDTree(mean[:, :2]).query(here[:, :2], near, distance_upper_bound=radius * widest)
    distance, place = distance.reshape(len(here), near), place.reshape(len(here), near)
    detection, slot = np.nonzero(np.isfinite(distance))
    candidate = place[detection, slot]
    both = (here_weight[detection] > 0) & (weight[candidate] > 0)
    variance = np.where(both, 1 / np.maximum(here_weight[detection], 1 / _FAR), 0.0)
    variance = variance + np.where(both, 1 / np.maximum(weight[candidate], 1 / _FAR), _FAR)
    squared = (np.square(here[detection] - mean[candidate]) / variance).sum(axis=1)
    good = squared <= radius**2
    detection, candidate, squared = detection[good], candidate[good], squared[good]
    order = np.argsort(squared, kind="stable")
    detection, candidate = detection[order], candidate[order]
    if len(np.unique(detection)) == len(detection) and len(np.unique(candidate)) == len(candidate):
        return detection, candidate
    taken_here, taken_there = np.zeros(len(here), bool), np.zeros(len(mean), bool)
    kept = []
    for index, (one, other) in enumerate(zip(detection.tolist(), candidate.tolist(), strict=True)):
        if not taken_here[one] and not taken_there[other]:
            taken_here[one] = taken_there[other] = True
            kept.append(index)
    return detection[kept], candidate[kept]
