"""Estimate baseline, noise and signal of a recording, as the sections of a setup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    frames: Annotated[str, typer.Option("--frames", help="Prepared recording: TIFF, folder, Zarr, glob in quotes.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    setup: Annotated[
        str | None,
        typer.Option(
            "--setup",
            help="Preset or YAML with the recording's optics and mask; without it, the noise alone is estimated.",
        ),
    ] = None,
    box: Annotated[
        str,
        typer.Option(
            "--box",
            metavar="ROW,COLUMN,HEIGHT,WIDTH",
            help="Take the noise from this emitter-free part.",
        ),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="Choice of tiles, and the simulated frames.")] = 0,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Estimate baseline, background noise and the emitters' photons from a recording.

    Writes sections.yaml (what was estimated, as sections of a setup), with --setup also setup.yaml (complete, ready for
    training) and comparison.png (a simulated frame beside a real one), noise.yaml (all numbers) and where.png.
    """
    from ds3d_tf.common.errors import InputError
    from ds3d_tf.jobs.estimate_noise import estimate_noise
    from ds3d_tf.setup import load_setup

    if overrides and setup is None:
        raise InputError("--set changes a setup; give one with --setup")
    with console.progress("frames") as progress:
        done = estimate_noise(
            frames,
            out,
            setup=None if setup is None else load_setup(setup, overrides or ()),
            box=console.numbers("--box", box) if box else None,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    console.messages().print(done.summary(), soft_wrap=True)


if __name__ == "__main__":
    console.command(main)
