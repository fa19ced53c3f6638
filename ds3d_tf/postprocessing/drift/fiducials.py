"""Drift from fiducials: bright beads that are seen in nearly every frame."""

from __future__ import annotations

import numpy as np
from scipy.signal import savgol_filter

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.postprocessing.drift.curve import DriftCurve
from ds3d_tf.postprocessing.grouping.linking import link
from ds3d_tf.postprocessing.molecules.molecules import Molecules

PRESENT = 0.8
_GAP_FRAMES, _MEMORY = 15, 5.0
_LEAST_SIGMA_NM, _RADIUS_SIGMAS = 12.0, 5.0
_WINDOW_FRAMES = 21
_OUTLIER_SIGMAS = 4.0


def find_fiducials(molecules: Molecules, progress: Progress = no_progress) -> list[np.ndarray]:
    """Return the rows of each fiducial, int64 ``[K]`` indices: those present in 80 % of the frames, ascending frames.

    Args:
        molecules: one recording.
        progress: told how many molecules are done.
    """
    frame, xyz_nm = molecules.frame, molecules.xyz_nm
    sigma_nm = molecules.sigma_nm("drift") if molecules.has_uncertainty else np.zeros_like(xyz_nm)
    sigma_nm = np.maximum(np.nan_to_num(sigma_nm), _LEAST_SIGMA_NM)
    sigma_nm[:, 2] *= 2
    group = link(
        frame,
        xyz_nm,
        sigma_nm,
        _RADIUS_SIGMAS,
        _GAP_FRAMES,
        exact_groups=True,
        memory=_MEMORY,
        progress=progress,
        task="looking for fiducials",
    )
    size = np.bincount(group)
    span = int(frame.max() - frame.min()) + 1
    order = np.argsort(frame, kind="stable")
    return [order[group[order] == one] for one in np.flatnonzero(size >= PRESENT * span)]


def drift_by_fiducials(
    molecules: Molecules, window_frames: int | None, progress: Progress = no_progress
) -> tuple[DriftCurve, int]:
    """Return the drift of a recording as its fiducials show it, and how many there are.

    Each fiducial's path, from its own mean, is weighted by its scatter from frame to frame; the mean path is smoothed
    by a parabola in a running window.

    Args:
        molecules: one recording.
        window_frames: frames of the running window; None: 21.
        progress: told how many molecules are done.

    Raises InputError if no molecule is present in 80 % of the frames.
    """
    found = find_fiducials(molecules, progress)
    if not found:
        raise InputError(
            f"{molecules.source}: no fiducial found (nothing is there in {PRESENT:.0%} of the frames); "
            "use another method"
        )
    frames = molecules.frames
    whole = np.arange(1, frames + 1)
    paths, weights, seen = [], [], np.zeros(frames, np.int64)
    for rows in found:
        frame, path = molecules.frame[rows], molecules.xyz_nm[rows]
        steps = np.diff(path, axis=0)
        scatter = 1.4826 * np.median(np.abs(steps - np.median(steps, axis=0)), axis=0) / np.sqrt(2)
        filled = np.stack([np.interp(whole, frame, path[:, axis]) for axis in range(3)], axis=1)
        paths.append(filled - filled.mean(axis=0))
        weights.append(1 / np.maximum(scatter, 0.1) ** 2)
        seen[frame - 1] += 1
    stacked, weight = np.stack(paths), np.stack(weights)[:, None, :]
    mean = (stacked * weight).sum(axis=0) / weight.sum(axis=0)
    mean = _without_outliers(mean)
    window = min(window_frames or _WINDOW_FRAMES, frames)
    window -= 1 - window % 2
    smooth = savgol_filter(mean, window, 2, axis=0) if window >= 5 else mean
    if not molecules.has_z:
        smooth[:, 2] = mean[:, 2] = 0
    text = f"{len(found)} fiducial" + ("s" if len(found) > 1 else "")
    knots = whole[:: max(1, frames // 500)]
    return DriftCurve(smooth - smooth[0], text, knots.astype(np.float64), mean[knots - 1] - smooth[0]), len(found)


def _without_outliers(path_nm: np.ndarray) -> np.ndarray:
    """Replace single frames that jump away from both neighbours."""
    path_nm = path_nm.copy()
    middle = (path_nm[:-2] + path_nm[2:]) / 2
    away = path_nm[1:-1] - middle
    scale = 1.4826 * np.median(np.abs(away), axis=0) + 1e-9
    jump = (np.abs(away) > _OUTLIER_SIGMAS * 1.5 * scale).any(axis=1)
    path_nm[1:-1][jump] = middle[jump]
    return path_nm
