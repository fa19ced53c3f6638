"""Localization precision from the distances of nearest neighbours in consecutive frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit
from scipy.spatial import cKDTree

_BINS = 80
_FEWEST = 200
_REACH_NM = 200.0


@dataclass(frozen=True, eq=False)
class Nena:
    """Distances of nearest neighbours in consecutive frames, and the precision that explains them.

    Attributes:
        sigma_nm: standard deviation of a position along one axis in the plane, nm.
        distance_nm: float64 ``[B]``, centres of the bins, nm.
        count: float64 ``[B]``, number of distances; no unit.
        fit: float64 ``[B]``, the fitted number; no unit.
    """

    sigma_nm: float
    distance_nm: np.ndarray
    count: np.ndarray
    fit: np.ndarray


def nearest_neighbour_precision(frame: np.ndarray, xy_nm: np.ndarray) -> Nena | None:
    """Return the precision by NeNA (Endesfelder et al., Histochemistry and Cell Biology 141, 629, 2014).

    Two positions of one molecule are d apart with the density d / 2σ² exp(-d² / 4σ²); other molecules near by add a
    Gaussian around a larger distance and a line.

    Args:
        frame: int ``[N]``, no unit.
        xy_nm: float ``[N, 2]`` (x, y), nm.

    Returns:
        The result, or None for too few neighbours or a fit that fails.
    """
    distance = _distances(frame, xy_nm)
    distance = distance[distance < _REACH_NM]
    if len(distance) < _FEWEST:
        return None
    # The bins reach to where the molecules' own distances have ended.
    reach = float(np.clip(6 * np.percentile(distance, 40), 20, _REACH_NM))
    count, edges = np.histogram(distance, _BINS, (0, reach))
    centre = (edges[1:] + edges[:-1]) / 2
    start = max(float(centre[count.argmax()]) / np.sqrt(2), 0.5)
    total = float(count.sum()) * (edges[1] - edges[0])
    guess = (0.8 * total, start, 0.1 * total, 0.6 * reach, 0.3 * reach, 0.01 * total / reach**2)
    highest = (10 * total, reach, 10 * total, 2 * reach, 3 * reach, 10 * total / reach**2)
    try:
        best, _ = curve_fit(_density, centre, count, guess, bounds=((0, 0.1, 0, 0, 0.05 * reach, 0), highest))
    except (RuntimeError, ValueError):
        return None
    return Nena(float(best[1]), centre, count.astype(np.float64), _density(centre, *best))


def _density(
    d: np.ndarray, own: float, sigma: float, near: float, middle: float, width: float, slope: float
) -> np.ndarray:
    other = near * np.exp(-((d - middle) ** 2) / (2 * width**2)) / (width * np.sqrt(2 * np.pi))
    return np.asarray(own * d / (2 * sigma**2) * np.exp(-(d**2) / (4 * sigma**2)) + other + slope * d)


def _distances(frame: np.ndarray, xy_nm: np.ndarray) -> np.ndarray:
    """Return the distance of each molecule to the nearest one in the next frame, nm."""
    order = np.argsort(frame, kind="stable")
    frame, xy_nm = frame[order], xy_nm[order]
    starts = np.flatnonzero(np.diff(frame, prepend=frame[0] - 1))
    ends = np.append(starts[1:], len(frame))
    found = []
    for k in np.flatnonzero(np.diff(frame[starts]) == 1):
        tree = cKDTree(xy_nm[starts[k + 1] : ends[k + 1]])
        found.append(tree.query(xy_nm[starts[k] : ends[k]])[0])
    return np.concatenate(found) if found else np.zeros(0)
