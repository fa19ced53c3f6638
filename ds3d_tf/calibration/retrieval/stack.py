"""Plain figures of bead stacks: where the bead lies, how well two stacks agree."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each pair of slices.

    Args:
        first: float ``[S, H, W]``, counts.
        second: float ``[S, H, W]``, counts.

    Returns:
        float64 ``[S]``, no unit; 0 for a slice without variation.
    """
    a, b = (
        np.asarray(v, np.float64) - np.mean(v, axis=(1, 2), keepdims=True, dtype=np.float64) for v in (first, second)
    )
    norm = np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)))
    return (a * b).sum(axis=(1, 2)) / np.where(norm > 0, norm, 1)


def bead_centre_px(stack: np.ndarray) -> tuple[float, float]:
    """Return the centre of the light of a stack's mean slice, relative to pixel (H // 2, W // 2).

    Args:
        stack: float ``[S, H, W]``, counts.

    Returns:
        (x, y), camera pixels.
    """
    mean = np.mean(stack, axis=0, dtype=np.float64)
    mean = gaussian_filter(mean - np.median(mean), 1.0)
    light = np.where(mean > 0.15 * mean.max(), mean, 0.0)
    y, x = np.indices(light.shape)
    height, width = light.shape
    return (
        float(np.sum(light * (x - width // 2)) / light.sum()),
        float(np.sum(light * (y - height // 2)) / light.sum()),
    )
