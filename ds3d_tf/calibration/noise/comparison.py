"""A simulated frame beside a real one: how alike are they?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ds3d_tf.setup import Setup

COMPARED_FRAMES = 8
PERCENTILES = (1, 50, 99, 99.9)


def radial_power(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean power spectrum of frames over rings of equal frequency.

    Args:
        frames: each float ``[H, W]``, counts.

    Returns:
        frequencies float64 ``[R]``, 1/pixel, and power float64 ``[R]``, counts² a pixel; white noise has its variance.
    """
    height, width = frames[0].shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    window /= np.sqrt(np.mean(window**2))
    power = np.mean([np.abs(np.fft.fft2((f - np.mean(f)) * window)) ** 2 for f in frames], axis=0) / (height * width)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    rings = max(min(height, width) // 4, 2)
    ring = np.minimum((radius / 0.5 * rings).astype(int), rings)
    total = np.bincount(ring.ravel(), power.ravel(), rings + 1)[:rings]
    number = np.bincount(ring.ravel(), minlength=rings + 1)[:rings]
    return (np.arange(rings) + 0.5) * 0.5 / rings, total / number


def simulated_like(setup: Setup, tile_shape: tuple[int, int], emitters: int, seed: int) -> np.ndarray:
    """Return frames of the setup's emitters and noise: float32 ``[F, H, W]``, counts.

    Args:
        setup: the ``Setup``.
        tile_shape: (H, W), pixels.
        emitters: number of emitters in each frame.
        seed: of the simulation.

    Raises InputError if the setup cannot be simulated.
    """
    from ds3d_tf.simulation.stream import simulate_frames

    margin = min(setup.volume.margin_px, (min(tile_shape) - 1) // 3)
    changes = {"volume.height_px": tile_shape[0], "volume.width_px": tile_shape[1], "volume.margin_px": margin}
    return simulate_frames(setup.replace(changes), COMPARED_FRAMES, seed, emitter_count=emitters).frames


def likeness(real: Sequence[np.ndarray], simulated: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return percentiles of the counts and the ratio of the power spectra (coarse, middle, fine) as plain numbers.

    Args:
        real: frames, each float ``[H, W]``, counts.
        simulated: frames, each float ``[H, W]``, counts.
    """
    ratio = radial_power(simulated)[1] / np.maximum(radial_power(real)[1], 1e-9)
    bands = np.array_split(ratio, 3)
    return {
        "percentiles": list(PERCENTILES),
        "counts_real": [round(float(v), 1) for v in np.percentile(np.stack(real), PERCENTILES)],
        "counts_simulated": [round(float(v), 1) for v in np.percentile(np.stack(simulated), PERCENTILES)],
        "power_simulated_over_real": {
            name: round(float(np.exp(np.mean(np.log(np.maximum(band, 1e-9))))), 2)
            for name, band in zip(("coarse", "middle", "fine"), bands, strict=True)
        },
    }
