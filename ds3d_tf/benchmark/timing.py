"""Timings, their sizes, and the yardsticks that are timed in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ds3d_tf.options import Sizes

__all__ = ["ORIGINAL_YARDSTICKS", "Sizes", "Timing", "complex_yardstick", "matrix_gflops", "median_seconds"]

# The yardstick does the work of one simulated frame of DeepSTORM3D: for each of 18 emitters, two phase factors and an
# FFT.
YARDSTICK_EMITTERS, YARDSTICK_PIXELS = 18, 203
# Time of the original for one frame of demo 1, in units of the yardstick.
ORIGINAL_YARDSTICKS = 1.15
MATRIX_SIZE = 2048


@dataclass(frozen=True)
class Timing:
    """Median time of one operation, and numbers derived from it (``ratios``: name → number)."""

    part: str
    name: str
    seconds: float
    repeats: int
    ratios: dict[str, float] = field(default_factory=dict)


def median_seconds(action: Callable[[], Any], repeats: int) -> float:
    """Return the median time of ``action``, seconds, after one call that is not counted."""
    action()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def complex_yardstick(repeats: int) -> float:
    """Return the median time, seconds, of 18 × (two complex exponentials and one FFT) of 203×203, NumPy complex128."""
    rng = np.random.default_rng(0)
    phases = rng.uniform(-3, 3, (2, YARDSTICK_PIXELS, YARDSTICK_PIXELS))

    def work() -> None:
        for _ in range(YARDSTICK_EMITTERS):
            np.fft.fft2(np.exp(1j * phases[0]) * np.exp(1j * phases[1]))

    return median_seconds(work, repeats)


def matrix_gflops(dtype: str, repeats: int, size: int = MATRIX_SIZE) -> float:
    """Return how fast TensorFlow multiplies square matrices of ``dtype`` on this machine, GFLOP/s."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.stateless_normal([size, size], [0, 0]), dtype)
    product = tf.function(lambda: matrix @ matrix, autograph=False)
    return 2 * size**3 / median_seconds(lambda: product()[0, 0].numpy(), repeats) / 1e9
