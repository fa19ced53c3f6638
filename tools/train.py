"""Train a localization network."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


class DeviceChoice(StrEnum):
    """Values of --devices."""

    one = "one"
    all = "all"
    workers = "workers"


def main(
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    setup: Annotated[
        str | None, typer.Option("--setup", help="A preset (quickstart, demo1 … demo5) or a YAML file.")
    ] = None,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, as if never stopped.")] = False,
    start: Annotated[
        Path | None, typer.Option("--from", help="Run or imported model to start from; its setup is the default.")
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option("--freeze", metavar="LAYER", help="Layer that does not learn, or 'features_*'; may be repeated."),
    ] = None,
    fresh: Annotated[
        list[str] | None,
        typer.Option("--fresh", metavar="LAYER", help="Layer that begins anew in spite of --from; may be repeated."),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits every time, at some speed.")
    ] = False,
    devices: Annotated[
        DeviceChoice, typer.Option("--devices", help="One device, all of this machine, or all workers of TF_CONFIG.")
    ] = DeviceChoice.one,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write logs/ for TensorBoard.")] = False,
) -> None:
    """Train a localization network, then export and evaluate it.

    The run folder receives the best networks, history.csv, curves.png, saved_model/ and evaluation/. Ctrl-C ends the
    training, exports and evaluates what was learned, and exits with code 130.
    """
    from ds3d_tf.common.errors import InputError
    from ds3d_tf.jobs.train import train
    from ds3d_tf.training.run_folder.run_setup import train_setup

    chosen = train_setup(
        setup, overrides or (), out, resume=resume, start=start, freeze=freeze or (), fresh=fresh or ()
    )
    run = train(
        chosen,
        out,
        overwrite=overwrite,
        resume=resume,
        deterministic=deterministic,
        devices=devices.value,
        tensorboard=tensorboard,
        on_wait=lambda workers: console.messages().print(
            f"worker {workers.index} of {len(workers.addresses)} waits for the others", soft_wrap=True
        ),
    )
    console.messages().print(run.summary(), soft_wrap=True)
    if run.ended == "not_finite":
        raise InputError(f"{run.detail}; the best epoch before is kept: lower learning.learning_rate and train again")
    if run.ended == "interrupted":
        raise typer.Exit(console.INTERRUPTED_EXIT_CODE)


if __name__ == "__main__":
    console.command(main)
