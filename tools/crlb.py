"""Draw the Cramér–Rao bound of a setup's mask over its depth range."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    setup: console.SetupOption,
    out: Annotated[Path, typer.Option("--out", help="PNG to write; the numbers go into a CSV of the same name.")],
    photons: Annotated[float | None, typer.Option("--photons", help="Photons; the setup's mean if not given.")] = None,
    background: Annotated[
        float | None, typer.Option("--background", help="Counts a pixel; the setup's mean if not given.")
    ] = None,
    read_noise: Annotated[
        float | None, typer.Option("--read-noise", help="Standard deviation, counts; the setup's mean if not given.")
    ] = None,
    blur: Annotated[float | None, typer.Option("--blur", help="Pixels; the setup's mean if not given.")] = None,
    heights: Annotated[int, typer.Option("--heights", help="Number of heights.")] = 41,
    compare: Annotated[
        list[str] | None, typer.Option("--compare", metavar="MASK", help="A further mask to draw; may be repeated.")
    ] = None,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Draw the Cramér–Rao bound: how precisely a lone emitter can be localized at all, over its height.

    Masks to compare are named like mask.source and have the same size and optics.
    """
    from ds3d_tf.jobs.crlb import crlb
    from ds3d_tf.setup import load_setup

    rows = crlb(
        load_setup(setup, overrides or ()),
        out,
        photons=photons,
        background=background,
        read_noise=read_noise,
        blur_sigma_px=blur,
        heights=heights,
        compare=compare or (),
        overwrite=overwrite,
    )
    for name, (lateral, axial) in rows.items():
        console.messages().print(f"{name}: lateral {lateral:.1f} nm, axial {axial:.1f} nm (rms over z)")


if __name__ == "__main__":
    console.command(main)
