"""Simulate frames with known emitters into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    setup: console.SetupOption,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    count: Annotated[int, typer.Option("--count", help="Number of frames.")] = 100,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed; the setup's if not given.")] = None,
    emitters: Annotated[int | None, typer.Option("--emitters", help="Emitters in every frame; else random.")] = None,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Simulate frames with known emitters.

    Writes frames.tif, truth.csv (µm, photons), setup.yaml, mask.npy and preview.png into a folder, which
    `--set training_set.folder=FOLDER` trains on.
    """
    from ds3d_tf.jobs.simulate import simulate
    from ds3d_tf.setup import load_setup

    done = simulate(
        load_setup(setup, overrides or ()), out, count, seed=seed, emitter_count=emitters, overwrite=overwrite
    )
    kind = "rounded to uint16" if done.pixel_type == "uint16" else f"{done.pixel_type}, too bright for uint16"
    console.messages().print(f"{done.frames} frames ({kind}) with {done.emitters} emitters in {done.folder}")


if __name__ == "__main__":
    console.command(main)
