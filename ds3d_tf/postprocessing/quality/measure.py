"""Everything that a table of molecules says about its own quality."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.postprocessing.grouping.linking import link
from ds3d_tf.postprocessing.molecules.columns import DETECTIONS, FRAMES_ON, PHOTONS
from ds3d_tf.postprocessing.molecules.molecules import Molecules
from ds3d_tf.postprocessing.quality.grid import grid_index
from ds3d_tf.postprocessing.quality.nena import Nena, nearest_neighbour_precision
from ds3d_tf.postprocessing.quality.over_time import OverTime, bleaching
from ds3d_tf.postprocessing.quality.ring_correlation import RingCorrelation, ring_correlation

_LINK_RADIUS, _LINK_GAP = 6.0, 0
_SMALLEST_PIXEL_NM = 1.0
_DEFAULT_SIGMA_NM = 20.0
_SHELL_REPEATS = 2
_SIGMA_PER_MEDIAN = 1.4826  # of a normal distribution's absolute values


@dataclass(frozen=True, eq=False)
class Quality:
    """Numbers and curves.

    Attributes:
        metrics: name → number, text or None, as ``metrics.json`` has them; lengths in nm.
        frc: ring correlation in x and y, if there are enough molecules.
        fsc: shell correlation, if the table has depths.
        nena: nearest neighbours in consecutive frames, if the table is not grouped.
        over_time: molecules per frame, photons.
        sigma_nm: float64 ``[N, 3]``, stated standard deviations, nm; None if the table has none.
    """

    metrics: dict[str, Any]
    frc: RingCorrelation | None
    fsc: RingCorrelation | None
    nena: Nena | None
    over_time: OverTime
    sigma_nm: np.ndarray | None


def measure_quality(
    molecules: Molecules,
    *,
    frc_pixel_nm: float | None = None,
    blocks: int = 100,
    repeats: int = 5,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Quality:
    """Return what a table says about precision, resolution and recording.

    Args:
        molecules: one recording.
        frc_pixel_nm: pixel of the ring correlation, nm; None: half the median precision.
        blocks: blocks of frames that are dealt to two halves.
        repeats: number of halvings.
        seed: seed of the halvings.
        progress: told how far it is.
    """
    xyz_nm, frame = molecules.xyz_nm, molecules.frame
    sigma_nm = molecules.sigma_nm("quality") if molecules.has_uncertainty else None
    grouped = DETECTIONS in molecules.table
    nena = None if grouped else nearest_neighbour_precision(frame, xyz_nm[:, :2])
    metrics = _counts(molecules)
    metrics["stated_sigma_nm"] = None if sigma_nm is None else _by_axis(np.median(sigma_nm, axis=0))
    metrics["measured_over_stated_sigma"] = None
    if sigma_nm is not None and not grouped:
        metrics |= _scatter(molecules, sigma_nm, progress)
    metrics["nena_sigma_nm"] = nena.sigma_nm if nena else None
    guess = nena.sigma_nm if nena else _DEFAULT_SIGMA_NM
    if sigma_nm is not None:
        guess = float(np.median(sigma_nm[:, :2]))
    pixel = frc_pixel_nm or max(_SMALLEST_PIXEL_NM, guess / 2)
    correlate = partial(ring_correlation, frame=frame, blocks=blocks, seed=seed, progress=progress)
    frc = correlate(xyz_nm[:, :2], pixel_nm=pixel, repeats=repeats, task="ring correlation")
    fsc = None
    if molecules.has_z and np.ptp(xyz_nm[:, 2]) > 0:
        fsc = correlate(xyz_nm, pixel_nm=2 * pixel, repeats=min(repeats, _SHELL_REPEATS), task="shell correlation")
    metrics["frc_resolution_nm"] = frc.resolution_nm if frc else None
    metrics["fsc_resolution_nm"] = fsc.resolution_nm if fsc else None
    metrics["grid_index"] = None
    if molecules.pixel_nm is not None:
        metrics["grid_index"] = {axis: grid_index(xyz_nm[:, k], molecules.pixel_nm) for k, axis in enumerate("xy")}
    photons = molecules.table[PHOTONS].to_numpy(np.float64) if PHOTONS in molecules.table else None
    over_time = bleaching(frame, molecules.frames, photons)
    metrics["bleaching_lifetime_frames"] = over_time.lifetime_frames
    return Quality(metrics, frc, fsc, nena, over_time, sigma_nm)


def _counts(molecules: Molecules) -> dict[str, Any]:
    """Return numbers of molecules: in all, a frame, a µm², their photons and how long they shine."""
    table, xyz_nm = molecules.table, molecules.xyz_nm
    if molecules.frame_shape is not None and molecules.pixel_nm is not None:
        area = float(np.prod(molecules.frame_shape)) * (molecules.pixel_nm / 1000) ** 2
    else:
        area = float(np.prod(np.ptp(xyz_nm[:, :2], axis=0))) / 1e6
    count, frames = len(molecules), molecules.frames
    photons = table.get(PHOTONS)
    return {
        "molecules": count,
        "frames": frames,
        "area_um2": area,
        "molecules_per_um2": count / area if area else None,
        "molecules_per_frame": count / frames,
        "molecules_per_um2_and_frame": count / frames / area if area else None,
        "median_photons": None if photons is None else float(photons.median()),
        "mean_frames_on": float(table[FRAMES_ON].mean()) if FRAMES_ON in table else None,
    }


def _scatter(molecules: Molecules, sigma_nm: np.ndarray, progress: Progress) -> dict[str, Any]:
    """Return how far apart positions of one molecule in consecutive frames are, in units of what they state.

    The median tells it: where molecules are dense, some neighbours are taken for one molecule, and are far apart.
    """
    from ds3d_tf.postprocessing.grouping.group import distances_over_stated

    frame, task = molecules.frame, "following molecules"
    group = link(frame, molecules.xyz_nm, sigma_nm, _LINK_RADIUS, _LINK_GAP, progress=progress, task=task)
    distances = distances_over_stated(molecules, group)
    linked = np.isfinite(distances[:, 0])
    ratio = np.full(3, np.nan)
    if linked.any():
        ratio = _SIGMA_PER_MEDIAN * np.median(np.abs(distances[linked]), axis=0)
    return {
        "measured_over_stated_sigma": _by_axis(ratio),
        "mean_frames_on": float(len(frame) / (group.max() + 1)),
    }


def _by_axis(values: np.ndarray) -> dict[str, float]:
    return {axis: float(value) for axis, value in zip("xyz", values, strict=True) if np.isfinite(value)}
