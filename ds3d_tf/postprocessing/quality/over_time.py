"""What becomes of a recording over time: molecules per frame, photons, bleaching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit

_BLOCKS = 60
# A fall must be this many times its standard error to be called bleaching.
_SIGNIFICANT = 3.0


@dataclass(frozen=True, eq=False)
class OverTime:
    """Means over blocks of frames.

    Attributes:
        frame: float64 ``[B]``, middle of each block; no unit.
        per_frame: float64 ``[B]``, molecules per frame.
        photons: float64 ``[B]``, median photons; None if the table has none.
        fit: float64 ``[B]``, molecules per frame by the fitted exponential; None without bleaching.
        lifetime_frames: frames in which the number falls to 1/e; None without bleaching.
    """

    frame: np.ndarray
    per_frame: np.ndarray
    photons: np.ndarray | None
    fit: np.ndarray | None
    lifetime_frames: float | None


def bleaching(frame: np.ndarray, frames: int, photons: np.ndarray | None = None) -> OverTime:
    """Return molecules per frame and photons over time, with an exponential through the former if they become fewer.

    Args:
        frame: int ``[N]``, from 1, no unit.
        frames: number of frames of the recording.
        photons: float ``[N]``, photons; None if not known.
    """
    count = int(np.clip(frames, 1, _BLOCKS))
    edges = np.linspace(0, frames, count + 1)
    block = np.clip(np.searchsorted(edges, frame - 1, side="right") - 1, 0, count - 1)
    lengths = np.diff(np.ceil(edges))
    numbers = np.bincount(block, minlength=count)
    per_frame = numbers / np.maximum(lengths, 1)
    middle = (edges[1:] + edges[:-1]) / 2
    medians = None
    if photons is not None:
        medians = np.array([np.median(photons[block == k]) if numbers[k] else np.nan for k in range(count)])
    fit = lifetime = None
    if count >= 8:
        error = np.sqrt(np.maximum(numbers, 1)) / np.maximum(lengths, 1)
        try:
            best, covariance = curve_fit(
                lambda t, start, rate: start * np.exp(-rate * t / frames),
                middle,
                per_frame,
                (per_frame[:4].mean(), 0.5),
                error,
            )
        except RuntimeError:
            best, covariance = np.zeros(2), np.zeros((2, 2))
        # Molecules that blink for several frames are counted several times: the error is larger than Poisson's.
        excess = np.sqrt(max(np.mean(((per_frame - best[0] * np.exp(-best[1] * middle / frames)) / error) ** 2), 1))
        if best[1] > _SIGNIFICANT * excess * np.sqrt(covariance[1, 1]) > 0:
            lifetime = float(frames / best[1])
            fit = best[0] * np.exp(-best[1] * middle / frames)
    return OverTime(middle, per_frame, medians, fit, lifetime)
