"""The job of tools/benchmark.py: how long the parts take, beside yardsticks timed in the same run."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import refuse_existing, whole_file
from ds3d_tf.common.machine import describe_machine
from ds3d_tf.setup import Setup

PARTS = ("simulate", "loss", "train", "localize", "peaks")
# The work behind the time of a frame of DeepSTORM3D's simulation: 18 emitters, each two phases and one transform.
YARDSTICK_EMITTERS, YARDSTICK_PIXELS = 18, 203
# What the original takes for one frame of demo 1, in yardsticks.
ORIGINAL_YARDSTICKS = 1.15
MATRIX_SIZE = 2048


@dataclass(frozen=True)
class Timing:
    """Median time of one thing, and figures derived from it (``ratios``: name → number)."""

    part: str
    name: str
    seconds: float
    repeats: int
    ratios: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sizes:
    """How much work each part is given; the default is that of the published setups."""

    frame_px: int = 121
    peaks_frame_px: tuple[int, int] = (297, 391)
    examples: int = 256
    batch: int = 1
    repeats: int = 5


@dataclass(frozen=True)
class Benchmark:
    """What was measured: facts about machine and settings, yardsticks and timings."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    yardsticks: dict[str, float]
    timings: list[Timing]

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


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


def benchmark(
    parts: Sequence[str],
    setup: Setup,
    *,
    out: str | Path | None = None,
    model: str | Path | None = None,
    frames: str | Path | None = None,
    sizes: Sizes | None = None,
    overwrite: bool = False,
) -> Benchmark:
    """Time parts of the package.

    Args:
        parts: of "simulate", "loss", "train", "localize" and "peaks"; "all" or nothing stands for all.
        setup: optics, noise and depth voxels to simulate and localize with.
        out: JSON file to write.
        model: model to localize with; a network of the setup with random weights if None.
        frames: recording whose localizations in bfloat16 are compared with float32's.
        sizes: frames and repeats.
        overwrite: whether to replace ``out``.

    Raises InputError for an unknown part, or a model, recording or output that cannot be used.
    """
    from ds3d_tf.benchmark import parts as benchmark_parts
    from ds3d_tf.benchmark import train as benchmark_train

    unknown = sorted(set(parts) - {*PARTS, "all"})
    if unknown:
        raise InputError(f"{unknown[0]}: no such part; expected {', '.join(PARTS)} or all")
    chosen = PARTS if not parts or "all" in parts else tuple(part for part in PARTS if part in parts)
    if out is not None:
        out = refuse_existing(out, overwrite)
    sizes = sizes or Sizes()
    if min(sizes.frame_px, *sizes.peaks_frame_px, sizes.examples, sizes.batch, sizes.repeats) < 1:
        raise InputError("--size, --peaks-size, --examples, --batch, --repeats: expected 1 or more")
    yardsticks = {
        "complex128_s": complex_yardstick(sizes.repeats),
        "matmul_float32_gflops": matrix_gflops("float32", sizes.repeats),
    }
    if {"localize", "train"} & set(chosen):
        yardsticks["matmul_bfloat16_gflops"] = matrix_gflops("bfloat16", sizes.repeats)
    timings: list[Timing] = []
    for part in chosen:
        if part == "simulate":
            timings += benchmark_parts.time_simulation(setup, sizes, yardsticks)
        elif part == "loss":
            timings += benchmark_parts.time_loss(setup, sizes)
        elif part == "train":
            timings += benchmark_train.time_training(setup, sizes, yardsticks)
        elif part == "localize":
            timings += benchmark_parts.time_localization(setup, sizes, yardsticks, model, frames)
        else:
            timings += benchmark_parts.time_peaks(setup, sizes)
    settings = {"setup": setup.name, "depth_voxels": setup.volume.depth_voxels, **asdict(sizes)}
    result = Benchmark(describe_machine(), settings, yardsticks, timings)
    if out is not None:
        with whole_file(out) as temporary:
            temporary.write_text(result.to_json(), encoding="utf-8")
    return result
