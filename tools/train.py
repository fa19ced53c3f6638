"""Train a localization network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    setup: console.SetupOption,
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Train a localization network, then export and evaluate it.

    The run folder receives the best networks, history.csv, curves.png, saved_model/ and evaluation/. Ctrl-C ends the
    training, exports and evaluates what was learned, and exits with code 130.
    """
    from ds3d_tf.common.errors import InputError
    from ds3d_tf.jobs.train import train
    from ds3d_tf.setup import load_setup

    run = train(load_setup(setup, overrides or ()), out, overwrite=overwrite)
    console.messages().print(run.summary(), soft_wrap=True)
    if run.ended == "not_finite":
        raise InputError(f"{run.detail}; the best epoch before is kept: lower learning.learning_rate and train again")
    if run.ended == "interrupted":
        raise typer.Exit(console.INTERRUPTED_EXIT_CODE)


if __name__ == "__main__":
    console.command(main)
