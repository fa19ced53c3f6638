"""Measure how fast the parts are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    parts: Annotated[
        list[str] | None, typer.Argument(help="simulate, loss, train, localize, peaks, or all (as without any).")
    ] = None,
    setup: console.SetupOption = "demo1",
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write.")] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model to localize with; random weights if not given.")
    ] = None,
    frames: Annotated[
        str | None, typer.Option("--frames", help="Recording on which bfloat16 is compared with float32.")
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Side of the frames for loss and network, pixels.")] = 121,
    peaks_size: Annotated[
        tuple[int, int], typer.Option("--peaks-size", help="Rows and columns of the frame for peaks, pixels.")
    ] = (297, 391),
    examples: Annotated[int, typer.Option("--examples", help="Training examples a repeat.")] = 256,
    batch: Annotated[int, typer.Option("--batch", help="Frames a training step.")] = 1,
    repeats: Annotated[int, typer.Option("--repeats", help="Repeats, of which the median counts.")] = 5,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Measure how fast the parts are on this machine.

    Two yardsticks are timed in the same run: NumPy, 18 times two complex exponentials and one FFT of 203×203 in
    complex128, of which DeepSTORM3D takes 1.15 for a frame of its demo 1; and the matrix product, GFLOP/s.
    """
    from rich.console import Console
    from rich.table import Table

    from ds3d_tf.benchmark.timing import Sizes
    from ds3d_tf.jobs.benchmark import benchmark
    from ds3d_tf.setup import load_setup

    result = benchmark(
        parts or (),
        load_setup(setup, overrides or ()),
        out=out,
        model=model,
        frames=frames,
        sizes=Sizes(size, peaks_size, examples, batch, repeats),
        overwrite=overwrite,
    )
    machine = result.machine
    printer = Console(highlight=False)
    printer.print(f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB", soft_wrap=True)
    printer.print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()), soft_wrap=True)
    for name, value in result.yardsticks.items():
        printer.print(f"{name}: {value:.4g}")
    table = Table("part", "what", "seconds", "ratios")
    for timing in result.timings:
        ratios = "\n".join(f"{name}: {value:.4g}" for name, value in timing.ratios.items())
        table.add_row(timing.part, timing.name, f"{timing.seconds:.4g}", ratios)
    printer.print(table)


if __name__ == "__main__":
    console.command(main)
