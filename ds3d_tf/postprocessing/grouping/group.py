"""Groups of detections as one row each, and what their scatter says about the stated uncertainties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.postprocessing.grouping.linking import link
from ds3d_tf.postprocessing.molecules.columns import (
    CONFIDENCE,
    DETECTIONS,
    FRAME,
    FRAMES_ON,
    LAST_FRAME,
    PHOTONS,
    POSITION,
    POSITION_UNCERTAINTY,
    UNCERTAINTY,
)
from ds3d_tf.postprocessing.molecules.molecules import Molecules, check_one_recording

_PHOTON_UNCERTAINTY = "uncertainty_intensity [photon]"


@dataclass(frozen=True, eq=False)
class Grouped:
    """Molecules after grouping.

    Attributes:
        molecules: one row a group.
        group: int64 ``[N]``: group of each detection of the table, in its order; no unit.
        measured_over_stated: for x, y, z: standard deviation of the positions within groups, in units of the stated
            one; NaN where it is not known.
    """

    molecules: Molecules
    group: np.ndarray
    measured_over_stated: tuple[float, float, float]


def group_molecules(
    molecules: Molecules,
    gap_frames: int = 1,
    radius_sigmas: float = 4.0,
    radius_nm: float | None = None,
    progress: Progress = no_progress,
) -> Grouped:
    """Return the molecules with detections in consecutive frames made one row.

    Positions are means with weights 1/σ², photons are summed, σ = (Σ 1/σ²)^(-1/2). ``frame`` is the first frame.

    Args:
        molecules: the table of one recording.
        gap_frames: frames in which a molecule may be missing.
        radius_sigmas: largest distance of a detection to its group, in standard deviations of their difference.
        radius_nm: largest distance, nm, instead; for tables without uncertainties.
        progress: told how many detections are done.

    Raises InputError for a table that is grouped already or holds two recordings, or that has no uncertainties where
    no ``radius_nm`` is given.
    """
    if DETECTIONS in molecules.table:
        raise InputError(f"{molecules.source}: is grouped already (it has a column {DETECTIONS!r})")
    check_one_recording(molecules, "group")
    if radius_nm is None and not molecules.has_uncertainty:
        raise InputError(
            f"{molecules.source}: no column {UNCERTAINTY!r}, which 'ds3d group' needs; 'ds3d localize --refine' "
            f"gives it, or give the maximum distance with {argument('radius_nm')}"
        )
    if radius_nm is not None:
        scale, radius = np.full((len(molecules), 3), [1.0, 1.0, np.nan]), radius_nm
    else:
        scale, radius = molecules.sigma_nm("group"), radius_sigmas
    exact = radius_nm is not None
    frame, xyz_nm = molecules.frame, molecules.xyz_nm
    group = link(frame, xyz_nm, scale, radius, gap_frames, exact_groups=exact, progress=progress)
    step = f"group: {gap_frames} gap frames, "
    step += f"radius {radius_nm:g} nm" if radius_nm is not None else f"radius {radius_sigmas:g} sigma"
    table = _merged(molecules.table, group)
    return Grouped(molecules.changed(table, step), group, scatter_over_stated(molecules, group))


def scatter_over_stated(molecules: Molecules, group: np.ndarray) -> tuple[float, float, float]:
    """Return the scatter of positions within groups in units of the stated uncertainties, for x, y and z.

    The sum of squared distances to the weighted mean, in units of σ², is on average n - 1 in a group of n.

    Args:
        molecules: detections.
        group: int64 ``[N]``: group of each, from 0; no unit.
    """
    if not molecules.has_uncertainty:
        return np.nan, np.nan, np.nan
    sigma_nm = molecules.sigma_nm("group")
    free = len(group) - len(np.unique(group))
    found = []
    for axis in range(3):
        off, _ = _off_the_mean(molecules.xyz_nm[:, axis], sigma_nm[:, axis], group)
        known = bool(free) and bool(np.isfinite(sigma_nm[:, axis]).all())
        found.append(float(np.sqrt(np.square(off).sum() / free)) if known else np.nan)
    return found[0], found[1], found[2]


def distances_over_stated(molecules: Molecules, group: np.ndarray) -> np.ndarray:
    """Return how far each detection is from the mean of its group, in units of what the uncertainties let expect.

    Args:
        molecules: detections with uncertainties.
        group: int64 ``[N]``: group of each, from 0; no unit.

    Returns:
        float64 ``[N, 3]`` (x, y, z), no unit, of variance 1 if the uncertainties are right; NaN for lone detections.
    """
    sigma_nm, xyz_nm = molecules.sigma_nm("group"), molecules.xyz_nm
    found = np.full(xyz_nm.shape, np.nan)
    for axis in range(3):
        off, share = _off_the_mean(xyz_nm[:, axis], sigma_nm[:, axis], group)
        # A detection pulls the mean towards itself: by as much as it has of the group's weight.
        expected = np.sqrt((1 - share).clip(0))
        np.divide(off, expected, out=found[:, axis], where=expected > 1e-6)
    return found


def _off_the_mean(position_nm: np.ndarray, sigma_nm: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each detection's distance to its group's weighted mean in units of σ, and its share of the weight."""
    weight = 1 / np.square(sigma_nm)
    sums = np.bincount(group, weight)
    sums = np.where(sums > 0, sums, 1)
    mean = np.bincount(group, weight * position_nm) / sums
    return (position_nm - mean[group]) / sigma_nm, weight / sums[group]


def _merged(table: pd.DataFrame, group: np.ndarray) -> pd.DataFrame:
    count = int(group.max()) + 1 if len(group) else 0
    size = np.bincount(group, minlength=count)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, values, minlength=count)

    frame = table[FRAME].to_numpy(np.int64)
    first, last = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
    np.minimum.at(first, group, frame)
    np.maximum.at(last, group, frame)
    merged: dict[str, np.ndarray] = {FRAME: first}
    own = dict.fromkeys(POSITION, UNCERTAINTY)
    own |= {name: sigma for name, sigma in zip(POSITION, POSITION_UNCERTAINTY, strict=True) if sigma in table}
    for name in table.columns:
        values = table[name].to_numpy(np.float64)
        if name in POSITION:
            sigma = table[own[name]].to_numpy(np.float64) if own[name] in table else np.ones(len(table))
            if name == POSITION[2] and own[name] == UNCERTAINTY:
                sigma = np.ones(len(table))
            weight = 1 / np.square(sigma)
            merged[name] = summed(weight * values) / summed(weight)
        elif name in (*POSITION_UNCERTAINTY, UNCERTAINTY):
            merged[name] = 1 / np.sqrt(summed(1 / np.square(values)))
        elif name == PHOTONS:
            merged[name] = summed(values)
        elif name == _PHOTON_UNCERTAINTY:
            merged[name] = np.sqrt(summed(np.square(values)))
        elif name == CONFIDENCE:
            best = np.full(count, -np.inf)
            np.fmax.at(best, group, values)
            merged[name] = np.where(np.isfinite(best), best, np.nan)
        elif name not in (FRAME, "id"):
            merged[name] = summed(values) / size
    merged |= {LAST_FRAME: last, DETECTIONS: size, FRAMES_ON: last - first + 1}
    return pd.DataFrame(merged)
