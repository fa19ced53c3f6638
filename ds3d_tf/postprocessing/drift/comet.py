"""Drift by COMET (Reinkensmeier et al.; package comet-smlm), which lets all pairs of molecules overlap at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.optional import require
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.postprocessing.drift.correlation import drift_by_correlation, windows
from ds3d_tf.postprocessing.drift.curve import DriftCurve, curve_through
from ds3d_tf.postprocessing.molecules.molecules import Molecules

_PER_WINDOW, _FEWEST_WINDOWS, _MOST_WINDOWS = 250, 5, 250
# What the correlation before it may be wrong by, and the width that pairs are compared with in the end.
_RADIUS_NM, _WIDTH_NM = 120.0, 15.0
_SMOOTHED_WINDOWS = 3
_MOST_PAIRS = 6_000_000
_COUNTED = 20_000


def drift_by_comet(
    molecules: Molecules,
    window_frames: int | None,
    max_drift_nm: float,
    seed: int = 0,
    progress: Progress = no_progress,
) -> DriftCurve:
    """Return the drift of a recording: a cross-correlation finds it roughly, COMET finely.

    Args:
        molecules: one recording.
        window_frames: frames in which the drift counts as constant; None: chosen by the number of molecules.
        max_drift_nm: largest displacement to look for, nm.
        seed: seed of the sample that is taken of very many molecules.
        progress: told how far it is.

    Raises InputError if comet-smlm is not installed, or for too few molecules or windows.
    """
    require("comet", "post", "comet")
    from comet import comet_run_kd

    rough = drift_by_correlation(molecules, None, max_drift_nm, progress)
    frames = molecules.frames
    if window_frames is None:
        wanted = int(np.clip(len(molecules) // _PER_WINDOW, _FEWEST_WINDOWS, _MOST_WINDOWS))
        window_frames = -(-frames // wanted)
    which, knots = windows(molecules, window_frames)
    placed = rough.correct(molecules).xyz_nm

    def told(stage: str, facts: dict[str, Any]) -> None:
        if stage == "evaluation":
            progress("comparing all pairs", int(facts["n_evaluations"]), None)

    try:
        _, details = comet_run_kd(
            np.column_stack([placed, which]).astype(np.float64),
            segmentation_mode=-1,
            segmentation_var=1,
            max_drift_nm=_RADIUS_NM,
            target_sigma_nm=_WIDTH_NM,
            boxcar_width=_SMOOTHED_WINDOWS,
            max_locs_per_segment=_most_per_window(placed, len(knots)),
            random_state=seed,
            progress=told,
            return_details=True,
        )
    except ValueError as error:
        raise InputError(f"{molecules.source}: comet: {error}; try another method") from error
    fine = np.nan_to_num(np.asarray(details.knot_drift_nm, np.float64))
    place = np.clip(np.rint(knots).astype(int) - 1, 0, len(rough.xyz_nm) - 1)
    return curve_through(knots, rough.xyz_nm[place] + fine, frames, f"comet, {len(knots)} windows")


def _most_per_window(xyz_nm: np.ndarray, count: int) -> int | None:
    """Return how many molecules of a window may be used, so that there are not too many pairs; None: all."""
    step = max(1, len(xyz_nm) // _COUNTED)
    some = cKDTree(xyz_nm[::step])
    pairs = float(some.count_neighbors(some, _RADIUS_NM) - some.n) / 2 * step**2
    if pairs <= _MOST_PAIRS:
        return None
    return max(20, int(len(xyz_nm) / count * np.sqrt(_MOST_PAIRS / pairs)))
