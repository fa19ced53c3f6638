"""The job of tools/benchmark.py: how long the parts take, beside yardsticks timed in the same run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ds3d_tf.benchmark.timing import Sizes, Timing, complex_yardstick, matrix_gflops
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import refuse_existing, whole_file
from ds3d_tf.common.machine import describe_machine
from ds3d_tf.setup import Setup

PARTS = ("simulate", "loss", "train", "localize", "peaks")


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
    from ds3d_tf.benchmark import sections as benchmark_sections
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
            timings += benchmark_sections.time_simulation(setup, sizes, yardsticks)
        elif part == "loss":
            timings += benchmark_sections.time_loss(setup, sizes)
        elif part == "train":
            timings += benchmark_train.time_training(setup, sizes, yardsticks)
        elif part == "localize":
            timings += benchmark_sections.time_localization(setup, sizes, yardsticks, model, frames)
        else:
            timings += benchmark_sections.time_peaks(setup, sizes)
    settings = {"setup": setup.name, "depth_voxels": setup.volume.depth_voxels, **asdict(sizes)}
    result = Benchmark(describe_machine(), settings, yardsticks, timings)
    if out is not None:
        with whole_file(out) as temporary:
            temporary.write_text(result.to_json(), encoding="utf-8")
    return result
