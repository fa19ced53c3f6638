"""Fourier ring correlation (in a plane) and Fourier shell correlation (in space), and the resolution they give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft

from ds3d_tf.common.progress import Progress, no_progress

THRESHOLD = 1 / 7
_TILE_VOXELS = {2: 1024, 3: 160}
_MOST_TILES = {2: 40, 3: 4}
_TAPER = 0.125
_FEWEST_IN_TILE = 200
_RINGS_AVERAGED = 7


@dataclass(frozen=True, eq=False)
class RingCorrelation:
    """The correlation of two halves of the molecules over spatial frequency.

    Attributes:
        frequency_per_nm: float64 ``[R]``, 1/nm.
        correlation: float64 ``[R]``, no unit.
        smooth: float64 ``[R]``, running mean, no unit.
        resolution_nm: 1 / (frequency where the running mean falls below 1/7), nm; None if it never does, or is never
            above.
        pixel_nm: pixel of the pictures, nm.
    """

    frequency_per_nm: np.ndarray
    correlation: np.ndarray
    smooth: np.ndarray
    resolution_nm: float | None
    pixel_nm: float


def ring_correlation(
    positions_nm: np.ndarray,
    frame: np.ndarray,
    pixel_nm: float,
    *,
    blocks: int = 100,
    repeats: int = 5,
    seed: int = 0,
    progress: Progress = no_progress,
    task: str = "correlating halves",
) -> RingCorrelation | None:
    """Return the ring (D = 2) or shell (D = 3) correlation of two halves (Nieuwenhuizen et al., Nature Methods 2013).

    Blocks of frames go to one half or the other at random. Large fields are cut into tiles with soft edges, the fullest
    of which are used; their spectra are summed. The result is the mean over some halvings.

    Args:
        positions_nm: float ``[N, D]``, nm.
        frame: int ``[N]``, no unit.
        pixel_nm: pixel of the pictures, nm.
        blocks: number of blocks of frames.
        repeats: number of halvings.
        seed: seed of the halvings.
        progress: told how many halvings are done.
        task: their name.

    Returns:
        The RingCorrelation, or None for too few molecules.
    """
    dimensions = positions_nm.shape[1]
    tiles = list(_tiles(positions_nm, pixel_nm))
    if not tiles:
        return None
    rng = np.random.default_rng(seed)
    first, span = int(frame.min()), int(frame.max() - frame.min()) + 1
    block = (frame - first) * blocks // span
    curves = []
    spacing = 1 / (_TILE_VOXELS[dimensions] * pixel_nm)
    for index in range(repeats):
        half = rng.permutation(np.arange(blocks) % 2)[block]
        sums = np.zeros((3, _TILE_VOXELS[dimensions] // 2))
        for members, place, weight in tiles:
            sums += _ring_sums(place, weight, half[members], dimensions)
        curves.append(sums[0] / np.sqrt(np.maximum(sums[1] * sums[2], 1e-30)))
        progress(task, index + 1, repeats)
    correlation = np.mean(curves, axis=0)
    frequency = np.arange(len(correlation)) * spacing
    smooth = _running_mean(correlation)
    return RingCorrelation(frequency, correlation, smooth, _resolution(frequency, smooth), pixel_nm)


def _tiles(positions_nm: np.ndarray, pixel_nm: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the fullest tiles: rows of their molecules, voxel of each, and its weight (soft edges)."""
    dimensions = positions_nm.shape[1]
    size = _TILE_VOXELS[dimensions]
    voxel = (positions_nm - positions_nm.min(axis=0)) / pixel_nm
    extent = voxel.max(axis=0)
    counts = np.maximum(1, np.ceil(extent / size)).astype(int)
    # Tiles lie around the middle; an axis that fits into one tile keeps it whole.
    shift = (counts * size - extent) / 2
    tile = np.minimum(((voxel + shift) // size).astype(int), counts - 1)
    number = np.ravel_multi_index(tuple(tile.T), tuple(counts))
    order = np.argsort(number, kind="stable")
    full = np.bincount(number, minlength=int(np.prod(counts)))
    ends = np.cumsum(full)
    for one in np.argsort(-full, kind="stable")[: _MOST_TILES[dimensions]]:
        if full[one] < _FEWEST_IN_TILE:
            break
        members = order[ends[one] - full[one] : ends[one]]
        place = voxel[members] + shift - tile[members] * size
        weight = np.ones(len(members))
        for axis in range(dimensions):
            # The edge is that of the tile, or of what is in it.
            low, high = place[:, axis].min(), max(place[:, axis].max(), place[:, axis].min() + 1e-9)
            reach = _TAPER * (high - low)
            edge = np.minimum(place[:, axis] - low, high - place[:, axis]) / reach
            weight *= np.sin(np.pi / 2 * edge.clip(0, 1)) ** 2
        yield members, place, weight


def _ring_sums(place: np.ndarray, weight: np.ndarray, half: np.ndarray, dimensions: int) -> np.ndarray:
    """Return float64 [3, R]: over rings, the sums of the product of both halves, and of the power of each."""
    size = _TILE_VOXELS[dimensions]
    shape = (size,) * dimensions
    cell = np.minimum(place.astype(int), size - 1)
    spectra = []
    for which in (0, 1):
        mine = half == which
        picture = np.zeros(shape, np.float32)
        np.add.at(picture, tuple(cell[mine].T), weight[mine].astype(np.float32))
        spectra.append(scipy.fft.rfftn(picture, workers=2))
    ring, fold = _rings(dimensions, size)
    one, other = (spectrum.ravel() for spectrum in spectra)
    parts = ((one.conj() * other).real, np.abs(one) ** 2, np.abs(other) ** 2)
    return np.stack([np.bincount(ring, part * fold, minlength=size)[: size // 2] for part in parts])


@lru_cache(maxsize=4)
def _rings(dimensions: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ring of each element of a half spectrum, and how often it stands for (once or twice)."""
    whole, half = np.fft.fftfreq(size) * size, np.arange(size // 2 + 1)
    squared = np.zeros((1,) * dimensions)
    for axis in range(dimensions):
        line = half if axis == dimensions - 1 else whole
        squared = squared + np.square(line).reshape([-1 if k == axis else 1 for k in range(dimensions)])
    fold = np.where((half == 0) | (half == size // 2), 1.0, 2.0)
    ring = np.minimum(np.rint(np.sqrt(squared)), size - 1).astype(np.int64).ravel()
    return ring, np.broadcast_to(fold.astype(np.float32), squared.shape).ravel()


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over some rings around each; fewer near the first."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    reach = np.minimum(np.minimum(_RINGS_AVERAGED, place), len(values) - 1 - place)
    return np.asarray((sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1))


def _resolution(frequency: np.ndarray, smooth: np.ndarray) -> float | None:
    below = np.flatnonzero(smooth[1:] < THRESHOLD) + 1
    if not len(below) or below[0] == 1:
        return None
    right = int(below[0])
    left = right - 1
    part = (smooth[left] - THRESHOLD) / (smooth[left] - smooth[right])
    return float(1 / (frequency[left] + part * (frequency[right] - frequency[left])))
