"""Where a frame holds no emitter, and what its pixels say there."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

SMOOTHING_PX = 2.0
# Wider than an emitter's image, narrower than a cell.
GROUND_PX = 33
CONTRAST = 3.5
MARGIN_PX = 10
FEWEST_PIXELS = 64


def emitter_free(frame: np.ndarray, margin_px: int = MARGIN_PX) -> np.ndarray:
    """Return where a frame holds no emitter within ``margin_px``.

    A background that varies over tens of pixels is taken off first. The dark side of what remains, smoothed, tells its
    noise: values are clipped above until only the background's peak is left.

    Args:
        frame: float ``[H, W]``, counts.
        margin_px: distance kept from bright pixels.

    Returns:
        bool ``[H, W]``, no unit.
    """
    frame = np.asarray(frame, np.float64)
    ground = minimum_filter(gaussian_filter(frame, 2 * SMOOTHING_PX), GROUND_PX)
    smooth = gaussian_filter(frame, SMOOTHING_PX) - gaussian_filter(ground, GROUND_PX / 2)
    values = smooth.ravel()
    while True:
        middle = np.median(values)
        spread = middle - np.percentile(values, 15.87)
        kept = values[values <= middle + 3 * spread]
        if len(kept) == len(values):
            break
        values = kept
    return ~maximum_filter(smooth > middle + CONTRAST * spread, 2 * margin_px + 1)


def mean_and_noise(frame: np.ndarray, free: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of the pixels where ``free`` is true.

    The deviation comes from second differences along rows, so a background that varies slowly does not count.

    Args:
        frame: float ``[H, W]``, counts.
        free: bool ``[H, W]``, no unit.

    Returns:
        mean and standard deviation, counts; NaN where fewer than 64 pixels are free.
    """
    frame = np.asarray(frame, np.float64)
    bends = 2 * frame[:, 1:-1] - frame[:, 2:] - frame[:, :-2]
    bends = bends[free[:, 1:-1] & free[:, 2:] & free[:, :-2]]
    if np.count_nonzero(free) < FEWEST_PIXELS or len(bends) < FEWEST_PIXELS // 2:
        return np.nan, np.nan
    return float(frame[free].mean()), float(np.sqrt(np.mean(_without_outliers(bends) ** 2) / 6))


def _without_outliers(values: np.ndarray) -> np.ndarray:
    middle = np.median(values)
    return values[np.abs(values - middle) <= 5 * 1.4826 * np.median(np.abs(values - middle)) + 1e-9]
