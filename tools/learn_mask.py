"""Learn a phase mask together with the network that reads its images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    setup: Annotated[
        str | None,
        typer.Option("--setup", help="A preset (demo4, or any other) or a YAML file; its mask is the start."),
    ] = None,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, as if never stopped.")] = False,
    fixed_mask: Annotated[
        bool, typer.Option("--fixed-mask", help="Keep the mask; the network learns alone, for comparison.")
    ] = False,
    pictures_every: Annotated[
        int, typer.Option("--pictures-every", help="Epochs from one picture of the mask to the next; 0: none.")
    ] = 1,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits every time, at some speed.")
    ] = False,
) -> None:
    """Learn a phase mask end to end with a small network, from the setup's own mask on.

    The run folder receives mask.npy and mask.mat, localization_setup.yaml (for tools/train.py), pictures/ and film.gif
    of mask and point spread function as they evolve, history.csv and curves.png. Ctrl-C keeps the best mask so far and
    exits with code 130. --set mask.basis=zernike learns coefficients instead of pixels.
    """
    from ds3d_tf.common.errors import InputError
    from ds3d_tf.jobs.learn_mask import learn_mask
    from ds3d_tf.setup import load_setup

    if setup is None and overrides:
        raise InputError("--set needs --setup")
    run = learn_mask(
        None if setup is None else load_setup(setup, overrides or ()),
        out,
        fixed=fixed_mask,
        overwrite=overwrite,
        resume=resume,
        deterministic=deterministic,
        pictures_every=pictures_every,
    )
    console.messages().print(run.summary(), soft_wrap=True)
    if run.ended == "not_finite":
        raise InputError(f"{run.detail}; the best epoch before is kept: lower learning.learning_rate and learn again")
    if run.ended == "interrupted":
        raise typer.Exit(console.INTERRUPTED_EXIT_CODE)


if __name__ == "__main__":
    console.command(main)
