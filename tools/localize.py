"""Localize the emitters of a recording into a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    model: Annotated[Path, typer.Option("--model", help="A run, a SavedModel, or a .tflite, .onnx or .xml file.")],
    frames: Annotated[str, typer.Option("--frames", help="TIFF, multi-page TIFF, folder, or a glob in quotes.")],
    out: Annotated[Path, typer.Option("--out", help="Table to write: .csv, .parquet, or .hdf5 (Picasso).")],
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Smallest confidence; the model's own if not given.")
    ] = None,
    radius: Annotated[
        int | None, typer.Option("--radius", help="Radius of a peak, voxels; the model's own if not given.")
    ] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw the first frames into OUT_plots/.")] = False,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Frames a step; fitted to their size if not given.")
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option("--memory", metavar="GB", help="Memory of the process; larger frames go in tiles. Default 4."),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="float32, or bfloat16 where the processor has units for it.")
    ] = "float32",
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave damaged frames out, and name them in OUT.log.")
    ] = False,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="SCHEDULER", help="Dask workers do it: tcp://HOST:PORT, or local[:N] here."),
    ] = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Localize the emitters of a recording into a table.

    Columns: frame (from 1), x [nm], y [nm] from the frame's upper left corner, z [nm] from the lowest depth, and
    intensity [au], the network's confidence. After an interruption the same command goes on where it stopped.
    """
    from ds3d_tf.jobs.localize import localize

    done = localize(
        model,
        frames,
        out,
        threshold=threshold,
        radius_voxels=radius,
        plots=plots,
        overwrite=overwrite,
        batch_size=batch,
        skip_damaged=skip_damaged,
        memory_gb=memory,
        precision=precision,
        dask=dask,
    )
    console.messages().print(done.summary(), soft_wrap=True)


if __name__ == "__main__":
    console.command(main)
