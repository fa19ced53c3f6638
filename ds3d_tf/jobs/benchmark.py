"""The job of `ds3d benchmark`: how long the parts take, beside yardsticks timed in the same run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ds3d_tf.benchmark.timing import Timing, complex_yardstick, matrix_gflops
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import refuse_existing, whole_file
from ds3d_tf.common.machine import describe_machine
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import BenchmarkOptions, Sizes
from ds3d_tf.setup import Setup

PARTS = ("simulate", "loss", "train", "localize", "peaks", "render")


@dataclass(frozen=True)
class Benchmark:
    """What was measured: facts about machine and settings, yardsticks and timings."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    yardsticks: dict[str, float]
    timings: list[Timing]

    def summary(self) -> str:
        """Return machine, yardsticks and timings as lines of text."""
        machine = self.machine
        lines = [
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB",
            ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
            *(f"{name}: {value:.4g}" for name, value in self.yardsticks.items()),
        ]
        for timing in self.timings:
            ratios = "; ".join(f"{name}: {value:.4g}" for name, value in timing.ratios.items())
            lines.append(f"{timing.part}: {timing.name}: {timing.seconds:.4g} s" + (f" ({ratios})" if ratios else ""))
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


@takes_options(BenchmarkOptions)
def benchmark(
    parts: Sequence[str],
    setup: Setup,
    options: BenchmarkOptions,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Benchmark:
    """Time parts of the package.

    Args:
        parts: of "simulate", "loss", "train", "localize", "peaks" and "render"; "all" or nothing stands for all.
        setup: optics, noise and depth voxels to simulate and localize with.
        options: see :class:`~ds3d_tf.options.BenchmarkOptions`; its fields may be given as keywords instead.
        out: JSON file to write.
        overwrite: whether to replace ``out``.
        progress: told how many parts are done.

    Raises InputError for an unknown part, or a model, recording or output that cannot be used.
    """
    from ds3d_tf.benchmark import pictures as benchmark_pictures
    from ds3d_tf.benchmark import sections as benchmark_sections
    from ds3d_tf.benchmark import train as benchmark_train

    unknown = sorted(set(parts) - {*PARTS, "all"})
    if unknown:
        raise InputError(f"{unknown[0]}: no such part; expected {', '.join(PARTS)} or all")
    chosen = PARTS if not parts or "all" in parts else tuple(part for part in PARTS if part in parts)
    if out is not None:
        out = refuse_existing(out, overwrite)
    sizes = options.part(Sizes)
    yardsticks = {
        "complex128_s": complex_yardstick(sizes.repeats),
        "matmul_float32_gflops": matrix_gflops("float32", sizes.repeats),
    }
    if {"localize", "train"} & set(chosen):
        yardsticks["matmul_bfloat16_gflops"] = matrix_gflops("bfloat16", sizes.repeats)
    timings: list[Timing] = []
    for index, part in enumerate(chosen):
        progress("parts", index, len(chosen))
        if part == "simulate":
            timings += benchmark_sections.time_simulation(setup, sizes, yardsticks)
        elif part == "loss":
            timings += benchmark_sections.time_loss(setup, sizes)
        elif part == "train":
            timings += benchmark_train.time_training(setup, sizes, yardsticks)
        elif part == "localize":
            timings += benchmark_sections.time_localization(setup, sizes, yardsticks, options)
        elif part == "peaks":
            timings += benchmark_sections.time_peaks(setup, sizes)
        else:
            timings += benchmark_pictures.time_rendering(sizes)
    progress("parts", len(chosen), len(chosen))
    settings = {"setup": setup.name, "depth_voxels": setup.volume.depth_voxels, **asdict(sizes)}
    result = Benchmark(describe_machine(), settings, yardsticks, timings)
    if out is not None:
        with whole_file(out) as temporary:
            temporary.write_text(result.to_json(), encoding="utf-8")
    return result
