"""Redundant cross-correlation: every part of a recording is compared with every other.

Windows of frames become pictures. The place of the peak of the correlation of two pictures is the displacement between
them; all pairs together give each window's displacement by least squares (Wang et al., Optics Express 22, 15982, 2014).
In depth, molecules that are near each other in x and y are compared.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter, maximum_position

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.postprocessing.drift.curve import DriftCurve, curve_through
from ds3d_tf.postprocessing.molecules.molecules import Molecules

FEWEST_MOLECULES = 200
_PER_WINDOW, _FEWEST_WINDOWS, _MOST_WINDOWS = 600, 5, 40
_PIXEL_NM, _Z_PIXEL_NM, _COLUMN_NM = 20.0, 20.0, 80.0
_MOST_PIXELS = 2048
_BLUR_NM = 25.0
_COLUMNS_AT_A_TIME = 4000
_OUTLIER_NM = 60.0


def drift_by_correlation(
    molecules: Molecules,
    window_frames: int | None,
    max_drift_nm: float,
    progress: Progress = no_progress,
) -> DriftCurve:
    """Return the drift of a recording, measured by redundant cross-correlation.

    Args:
        molecules: one recording.
        window_frames: frames in which the drift counts as constant; None: chosen by the number of molecules.
        max_drift_nm: largest displacement to look for, nm.
        progress: told how many steps are done.

    Raises InputError for too few molecules or windows.
    """
    which, knots = windows(molecules, window_frames)
    count = len(knots)
    xyz_nm = molecules.xyz_nm
    steps = 2 if molecules.has_z else 1
    progress("correlating", 0, steps)
    moves = np.zeros((count, 3))
    moves[:, :2] = _lateral(xyz_nm[:, :2], which, count, max_drift_nm)
    progress("correlating", 1, steps)
    if molecules.has_z:
        moves[:, 2] = _axial(xyz_nm - moves[which], which, count, max_drift_nm)
    progress("correlating", steps, steps)
    return curve_through(knots, moves, molecules.frames, f"correlation of {count} windows")


def windows(molecules: Molecules, window_frames: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return each molecule's window and the mean frame of each window.

    Args:
        molecules: one recording.
        window_frames: frames of a window; None: chosen by the number of molecules.

    Returns:
        int64 ``[N]``: index of the window, and float64 ``[K]``: mean frame; no unit.

    Raises InputError for too few molecules or windows.
    """
    if len(molecules) < FEWEST_MOLECULES:
        raise InputError(f"{molecules.source}: {len(molecules)} molecules are too few to measure a drift from")
    frame = molecules.frame
    first, frames = int(frame.min()), int(frame.max() - frame.min()) + 1
    if window_frames is None:
        wanted = int(np.clip(len(molecules) // _PER_WINDOW, _FEWEST_WINDOWS, _MOST_WINDOWS))
        window_frames = -(-frames // wanted)
    elif frames < 2 * window_frames:
        raise InputError(
            f"{argument('window_frames')} {window_frames}: molecules in {frames} frames; expected two windows or more"
        )
    which = (frame - first) // window_frames
    last = frames // window_frames
    if frames % window_frames and frames % window_frames < window_frames / 2 and last > 1:
        which = np.minimum(which, last - 1)  # a short rest belongs to the last window
    kept, which = np.unique(which, return_inverse=True)
    if len(kept) < 2:
        raise InputError(f"{molecules.source}: molecules in one window of frames only; the drift cannot be measured")
    return which, np.bincount(which, frame) / np.bincount(which)


def _lateral(xy_nm: np.ndarray, which: np.ndarray, count: int, max_drift_nm: float) -> np.ndarray:
    """Return float64 [K, 2]: displacement of each window in x and y, nm, from correlations of pictures."""
    low = xy_nm.min(axis=0)
    extent = xy_nm.max(axis=0) - low
    pixel = max(_PIXEL_NM, float(extent.max()) / _MOST_PIXELS)
    shape = tuple(scipy.fft.next_fast_len(int(n), real=True) for n in (extent + max_drift_nm) // pixel + 2)
    spectra = np.empty((count, shape[0], shape[1] // 2 + 1), np.complex64)
    for index in range(count):
        cell = ((xy_nm[which == index] - low) / pixel).astype(np.int64)
        picture = np.zeros(shape, np.float32)
        np.add.at(picture, (cell[:, 0], cell[:, 1]), 1.0)
        picture = gaussian_filter(picture, _BLUR_NM / pixel, mode="constant")
        spectra[index] = scipy.fft.rfft2(picture - picture.mean())
    reach = int(np.ceil(max_drift_nm / pixel)) + 1
    near = np.arange(-reach, reach + 1)
    pairs, found = [], []
    for one, other in combinations(range(count), 2):
        whole = scipy.fft.irfft2(np.conj(spectra[one]) * spectra[other], s=shape)
        part = whole[np.ix_(near % shape[0], near % shape[1])]
        pairs.append((one, other))
        found.append((_peak(part) - reach) * pixel)
    return _least_squares(np.array(pairs), np.array(found), count)


def _axial(xyz_nm: np.ndarray, which: np.ndarray, count: int, max_drift_nm: float) -> np.ndarray:
    """Return float64 [K]: displacement of each window in z, nm, comparing depths at the same place in x and y."""
    low = xyz_nm.min(axis=0)
    grid = np.floor((xyz_nm[:, :2] - low[:2]) / _COLUMN_NM).astype(np.int64)
    _, place = np.unique(grid[:, 0] * (grid[:, 1].max() + 1) + grid[:, 1], return_inverse=True)
    depths = int((xyz_nm[:, 2].max() - low[2] + max_drift_nm) / _Z_PIXEL_NM) + 2
    size = scipy.fft.next_fast_len(depths, real=True)
    level = ((xyz_nm[:, 2] - low[2]) / _Z_PIXEL_NM).astype(np.int64)
    products = np.zeros((size // 2 + 1, count, count), np.complex128)
    order = np.argsort(place, kind="stable")
    places = int(place.max()) + 1
    for start in range(0, places, _COLUMNS_AT_A_TIME):
        end = min(start + _COLUMNS_AT_A_TIME, places)
        some = order[np.searchsorted(place[order], start) : np.searchsorted(place[order], end)]
        counts = np.zeros((count, end - start, size), np.float32)
        np.add.at(counts, (which[some], place[some] - start, level[some]), 1.0)
        spectra = scipy.fft.rfft(counts, axis=2).transpose(2, 0, 1)
        products += np.conj(spectra) @ spectra.transpose(0, 2, 1)
    frequency = scipy.fft.rfftfreq(size, _Z_PIXEL_NM)
    blur = np.exp(-((2 * np.pi * frequency * _BLUR_NM) ** 2))  # of both windows
    whole = scipy.fft.irfft(products * blur[:, None, None], n=size, axis=0)
    reach = int(np.ceil(max_drift_nm / _Z_PIXEL_NM)) + 1
    part = whole[np.arange(-reach, reach + 1) % size]
    pairs = np.array(list(combinations(range(count), 2)))
    found = np.array([(_peak(part[:, one, other]) - reach) * _Z_PIXEL_NM for one, other in pairs])
    return _least_squares(pairs, found, count)[:, 0]


def _peak(values: np.ndarray) -> np.ndarray:
    """Return the place of the highest value, between pixels by a parabola along each axis."""
    top = np.array(maximum_position(values)).reshape(-1)
    place = top.astype(np.float64)
    for axis in range(values.ndim):
        if 0 < top[axis] < values.shape[axis] - 1:
            step = np.zeros(values.ndim, int)
            step[axis] = 1
            left, middle, right = (float(values[tuple(top + k * step)]) for k in (-1, 0, 1))
            curvature = left - 2 * middle + right
            place[axis] += 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return place


def _least_squares(pairs: np.ndarray, found: np.ndarray, count: int) -> np.ndarray:
    """Return float64 [K, D]: displacements of windows from those between pairs; pairs that contradict are left out."""
    found = found.reshape(len(pairs), -1)
    matrix = np.zeros((len(pairs), count))
    matrix[np.arange(len(pairs)), pairs[:, 1]] = 1
    matrix[np.arange(len(pairs)), pairs[:, 0]] = -1
    weight = np.ones(len(pairs))
    moves: np.ndarray = np.zeros((count, found.shape[1]))
    for _ in range(20):
        moves = np.linalg.lstsq(matrix[:, 1:] * weight[:, None], found * weight[:, None], rcond=None)[0]
        moves = np.vstack([np.zeros(found.shape[1]), moves])
        error = np.linalg.norm(matrix @ moves - found, axis=1)
        scale = max(2.0 * float(np.median(error)), _OUTLIER_NM / 4)
        weight = 1 / (1 + (error / scale) ** 2)
    return moves
