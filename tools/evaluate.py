"""Measure how well a model localizes frames whose emitters are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    model: Annotated[Path, typer.Option("--model", help="Model folder: a SavedModel, or a run that holds one.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    count: Annotated[int, typer.Option("--count", help="Number of fresh simulated frames.")] = 100,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the fresh frames.")] = 1,
    emitters: Annotated[
        int | None, typer.Option("--emitters", help="Emitters in every fresh frame; else random.")
    ] = None,
    frames: Annotated[
        str | None, typer.Option("--frames", help="Given frames instead: TIFF, folder, glob, .npz.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="CSV of their emitters: frame,x_um,y_um,z_um,photons.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Smallest confidence; the model's own if not given.")
    ] = None,
    radius: Annotated[
        int | None, typer.Option("--radius", help="Radius of a peak, voxels; the model's own if not given.")
    ] = None,
    label_threshold: Annotated[
        float | None,
        typer.Option(
            "--label-threshold",
            help="Emitters of so many photons or fewer need not be found; the setup's if not given.",
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="A pair counts below this distance, nm.")] = 100.0,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Frames a step; fitted to their size if not given.")
    ] = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Measure how well a model localizes frames whose emitters are known.

    Writes metrics.json, localizations.csv, truth.csv and figures into a folder.
    """
    from ds3d_tf.evaluation.run import evaluate

    done = evaluate(
        model,
        out,
        count=count,
        seed=seed,
        emitter_count=emitters,
        frames=frames,
        truth=truth,
        threshold=threshold,
        radius_voxels=radius,
        label_threshold=label_threshold,
        tolerance_nm=tolerance,
        batch_size=batch,
        overwrite=overwrite,
    )
    console.messages().print(done.summary(), soft_wrap=True)


if __name__ == "__main__":
    console.command(main)
