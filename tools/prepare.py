"""Subtract a recording's minimum projection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    frames: Annotated[str, typer.Option("--frames", help="TIFF, multi-page TIFF, folder, Zarr, or a glob in quotes.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    minimum: Annotated[
        Path | None, typer.Option("--minimum", help="Take off this image, minimum.tif of another recording, instead.")
    ] = None,
    skip: Annotated[
        str, typer.Option("--skip", metavar="I,J,…", help="Frames, numbered from 1, that do not count in the minimum.")
    ] = "",
    overwrite: console.Overwrite = False,
) -> None:
    """Subtract a recording's minimum projection: what never blinks, such as autofluorescence and camera offset.

    Writes prepared.tif, minimum.tif, figures of both (minimum.png, prepared.png) and prepare.yaml into a folder. The
    recording is read twice, a frame at a time, so it may be of any length.
    """
    from ds3d_tf.jobs.prepare import prepare

    with console.progress("frames") as progress:
        done = prepare(
            frames,
            out,
            minimum=minimum,
            skip=console.numbers("--skip", skip),
            overwrite=overwrite,
            progress=progress,
        )
    console.messages().print(done.summary(), soft_wrap=True)


if __name__ == "__main__":
    console.command(main)
