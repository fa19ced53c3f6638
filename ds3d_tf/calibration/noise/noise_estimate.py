"""Baseline and noise of the pixels without emitters, over frames and over the field of view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ds3d_tf.calibration.noise.emitter_free import FEWEST_PIXELS, emitter_free, mean_and_noise

BLOCK_PX = 16
FEWEST_BLOCKS = 12
# Where the variance equals the mean, place by place, the noise is that of light and not the camera's.
POISSON_RATIO = (0.75, 1.33)
POISSON_CORRELATION = 0.5
SPATIAL_SHARE = 0.15


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """The background of a recording; T is the number of tiles (of a frame's size or less) with free pixels.

    Attributes:
        baselines: float64 ``[T]``, mean of each tile's emitter-free pixels, counts.
        sigmas: float64 ``[T]``, their standard deviation, counts.
        pixels: float64 ``[T]``, number of emitter-free pixels.
        block_sigma: float64 ``[h, w]``, standard deviation of each block of 16 × 16 pixels over all tiles, counts;
            NaN where it was never free.
        contrast: mean over the tiles of their darkest and their brightest block, counts.
        is_light: whether the noise is that of light and not the camera's.
        free_share: share of the pixels without emitters.
        block_means: float64 ``[K]``, mean of each block of each tile that has enough free pixels, counts.
        block_variances: float64 ``[K]``, their variance, counts squared.
        block_pixels: float64 ``[K]``, number of their free pixels.
    """

    baselines: np.ndarray
    sigmas: np.ndarray
    pixels: np.ndarray
    block_sigma: np.ndarray
    contrast: tuple[float, float]
    is_light: bool
    free_share: float
    block_means: np.ndarray
    block_variances: np.ndarray
    block_pixels: np.ndarray

    @property
    def baseline(self) -> float:
        """Mean of the pixels without emitters, counts."""
        return float(np.average(self.baselines, weights=self.pixels))

    @property
    def sigma(self) -> float:
        """Standard deviation (root mean square) of the pixels without emitters, counts."""
        return float(np.sqrt(np.average(self.sigmas**2, weights=self.pixels)))

    @property
    def baseline_range(self) -> tuple[float, float]:
        """Range, counts, of the uniform distribution with the baselines' mean and spread."""
        return _uniform_range(self.baselines, self.pixels)

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Range of σ, counts: over the field of view where it varies there, else over the tiles."""
        if self.varies_in_space:
            low, high = np.nanpercentile(self.block_sigma, [5, 95])
            return float(low), float(high)
        return _uniform_range(self.sigmas, self.pixels, self.sigma**2 / (2 * np.maximum(self.pixels, 1)))

    @property
    def varies_in_space(self) -> bool:
        """Whether σ differs between distant places much more than between neighbouring ones."""
        known = self.block_sigma[np.isfinite(self.block_sigma)]
        if len(known) < FEWEST_BLOCKS:
            return False
        low, high = np.percentile(known, [10, 90])
        steps = np.concatenate([np.diff(self.block_sigma, axis=axis).ravel() for axis in (0, 1)])
        return bool(high - low > max(SPATIAL_SHARE * known.mean(), 2 * np.nanstd(steps) / np.sqrt(2)))


def estimate_noise(
    tiles: Sequence[np.ndarray],
    free_pixels: Callable[[np.ndarray], np.ndarray] = emitter_free,
    on_tile: Callable[[int], None] = lambda done: None,
) -> NoiseEstimate | None:
    """Return the background of tiles of one size; None if hardly a pixel of them is free of emitters.

    Args:
        tiles: frames or parts of them, each float ``[H, W]``, counts.
        free_pixels: returns the pixels to use of a tile, bool ``[H, W]``; those without emitters if not given.
        on_tile: called with the number of tiles done.
    """
    grid = tuple(max(size // BLOCK_PX, 1) for size in tiles[0].shape)
    rows, means, variances, pixels_of, shares = [], [], [], [], []
    for number, tile in enumerate(tiles):
        free = free_pixels(tile)
        shares.append(free.mean())
        baseline, sigma = mean_and_noise(tile, free)
        if np.isfinite(sigma):
            rows.append((baseline, sigma, np.count_nonzero(free)))
            mean, variance, free_number = _blocks(np.asarray(tile, np.float64), free, grid)
            means.append(mean)
            variances.append(variance)
            pixels_of.append(free_number)
        on_tile(number + 1)
    if not rows:
        return None
    baselines, sigmas, pixels = np.array(rows).T
    mean, variance = np.stack(means), np.stack(variances)
    known = [values[np.isfinite(values)] for values in mean.reshape(len(mean), -1)]
    ends = np.array([np.percentile(values, [5, 95]) for values in known if len(values) >= 4])
    dark, bright = ends.mean(axis=0) if len(ends) else np.full(2, baselines.mean())
    times = np.isfinite(variance).sum(axis=0)
    total = np.nansum(variance, axis=0)
    block_sigma = np.sqrt(np.divide(total, times, out=np.full(grid, np.nan), where=times > 0))
    seen = np.isfinite(mean)
    return NoiseEstimate(
        baselines,
        sigmas,
        pixels,
        block_sigma,
        (float(dark), float(bright)),
        _is_light(mean[seen], variance[seen]),
        float(np.mean(shares)),
        mean[seen],
        variance[seen],
        np.stack(pixels_of)[seen],
    )


def _blocks(tile: np.ndarray, free: np.ndarray, grid: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, variance and number of each block's free pixels, ``[h, w]``; NaN if under a quarter are free."""
    mean, variance, number = np.full(grid, np.nan), np.full(grid, np.nan), np.zeros(grid)
    edges = [np.linspace(0, size, count + 1).astype(int) for size, count in zip(tile.shape, grid, strict=True)]
    for row in range(grid[0]):
        for column in range(grid[1]):
            place = (slice(*edges[0][row : row + 2]), slice(*edges[1][column : column + 2]))
            inside = free[place]
            if inside.sum() >= max(inside.size / 4, FEWEST_PIXELS):
                mean[row, column], sigma = mean_and_noise(tile[place], inside)
                variance[row, column] = sigma**2
                number[row, column] = inside.sum()
    mean[np.isnan(variance)] = np.nan
    return mean, variance, number


def _is_light(mean: np.ndarray, variance: np.ndarray) -> bool:
    """Return whether the variances of blocks follow their means as those of photon counts do."""
    if len(mean) < FEWEST_BLOCKS or mean.std() == 0 or variance.std() == 0 or mean.mean() <= 0:
        return False
    low, high = POISSON_RATIO
    return bool(low < variance.mean() / mean.mean() < high and np.corrcoef(mean, variance)[0, 1] > POISSON_CORRELATION)


def _uniform_range(
    values: np.ndarray, weights: np.ndarray, sampling_variance: np.ndarray | float = 0.0
) -> tuple[float, float]:
    """Return the range of a uniform distribution with the values' mean and spread less sampling error.

    Of values that are never negative the range is not, either.
    """
    mean = np.average(values, weights=weights)
    variance = np.average((values - mean) ** 2 - sampling_variance, weights=weights)
    half = np.sqrt(3 * max(variance, 0.0))
    low = float(mean - half)
    return max(low, 0.0) if np.min(values) >= 0 else low, float(mean + half)
