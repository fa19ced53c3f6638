"""Commands that learn: simulated frames, networks, masks, better settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ds3d_tf.cli.options import (
    OUTPUT,
    Folder,
    MaybeSetupName,
    Overrides,
    Overwrite,
    RunFolder,
    SetupName,
    setup_of,
    show,
)
from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.options import Option
from ds3d_tf.options import ImportWeightsOptions, LearnMaskOptions, SimulateOptions, TrainOptions, TuneOptions
from ds3d_tf.options.shared import INPUT

_START = "Start"


def simulate(
    setup: SetupName, out: Folder, options: SimulateOptions, overrides: Overrides = (), overwrite: Overwrite = False
) -> None:
    """Simulate frames with known emitters.

    Writes frames.tif, truth.csv, setup.yaml, mask.npy and preview.png into a folder. With --scene, molecules on a known
    structure blink, bleach and drift; drift.csv, structure.csv and molecules.csv (without drift) are written, too.
    """
    from ds3d_tf.jobs.simulate import simulate

    with console.bars("frames") as progress:
        result = simulate(setup_of(setup, overrides), out, options, overwrite=overwrite, progress=progress)
    show(result)


def train(
    out: RunFolder,
    options: TrainOptions,
    setup: MaybeSetupName = None,
    overrides: Overrides = (),
    start: Annotated[
        Path | None, Option("--from", "Run or imported model to start from; its setup is the default.", _START)
    ] = None,
    freeze: Annotated[
        tuple[str, ...],
        Option(
            "--freeze",
            "Layer that does not learn, or a pattern such as 'features_*'; may be repeated.",
            _START,
            "LAYER",
        ),
    ] = (),
    fresh: Annotated[
        tuple[str, ...],
        Option("--fresh", "Layer to re-initialise instead of loading from --from; may be repeated.", _START, "LAYER"),
    ] = (),
    overwrite: Overwrite = False,
) -> None:
    """Train a localization network, then export and evaluate it.

    The run folder gets the best networks, history.csv, curves.png, card.md, saved_model/ and evaluation/. Ctrl-C stops
    the training, exports and evaluates what was learned, and exits with code 130.
    """
    from ds3d_tf.jobs.train import train
    from ds3d_tf.training.run_folder.run_setup import train_setup

    chosen = train_setup(setup, overrides, out, resume=options.resume, start=start, freeze=freeze, fresh=fresh)
    with console.bars("frames") as progress:
        run = train(
            chosen,
            out,
            options,
            overwrite=overwrite,
            progress=progress,
            on_wait=lambda workers: console.messages().print(
                f"worker {workers.index} of {len(workers.addresses)} waits for the others", soft_wrap=True
            ),
        )
    show(run)
    _end(run, "train")


def tune(
    setup: SetupName,
    space: Annotated[str, Option("--space", "Search space (pixel, full, quickstart_voxel) or YAML file.", "Setup")],
    out: Annotated[Path, Option("--out", "Search folder to write; a search that is there is resumed.", OUTPUT)],
    options: TuneOptions,
    overrides: Overrides = (),
    overwrite: Overwrite = False,
) -> None:
    """Search for better settings of the training.

    The folder gets trials.csv, parallel_coordinates.png and best.yaml, a setup for 'ds3d train'. Run the same command
    again to resume a search that was stopped.
    """
    from ds3d_tf.jobs.tune import tune

    with console.bars("frames") as progress:
        tuned = tune(setup_of(setup, overrides), space, out, options, overwrite=overwrite, progress=progress)
    if tuned is None:
        return
    show(tuned)
    if tuned.best is None:
        reason = f": {tuned.rows[0]['reason']}" if tuned.rows else ""
        raise InputError(f"none of {len(tuned.rows)} trials gave a result{reason}")


def learn_mask(
    out: RunFolder,
    options: LearnMaskOptions,
    setup: MaybeSetupName = None,
    overrides: Overrides = (),
    overwrite: Overwrite = False,
) -> None:
    """Learn a phase mask together with a small network, starting from the setup's own mask.

    The run folder gets mask.npy, mask.mat, localization_setup.yaml (for 'ds3d train'), pictures/, film.gif, history.csv
    and curves.png. Ctrl-C keeps the best mask so far and exits with code 130. Use --set mask.basis=zernike to learn
    Zernike coefficients instead of pixels.
    """
    from ds3d_tf.jobs.learn_mask import learn_mask

    if setup is None and overrides:
        raise InputError(f"{argument('overrides')} changes a setup; give one with {argument('setup')}")
    chosen = None if setup is None else setup_of(setup, overrides)
    with console.bars("frames") as progress:
        run = learn_mask(chosen, out, options, overwrite=overwrite, progress=progress)
    show(run)
    _end(run, "learn")


def import_weights(
    weights: Annotated[Path, Option("", "Weights of DeepSTORM3D (.pkl).", INPUT)],
    setup: SetupName,
    out: Folder,
    options: ImportWeightsOptions,
    overrides: Overrides = (),
    overwrite: Overwrite = False,
) -> None:
    """Turn DeepSTORM3D's PyTorch weights into a model of this package.

    Dilation and voxel grid are detected by localizing simulated emitters.
    """
    from ds3d_tf.jobs.import_weights import import_weights

    with console.bars("frames") as progress:
        result = import_weights(
            weights, setup_of(setup, overrides), out, options, overwrite=overwrite, progress=progress
        )
    show(result)


def _end(run: Any, verb: str) -> None:
    """Exit as a run that did not end well does."""
    if run.ended == "not_finite":
        raise InputError(f"{run.detail}; the best epoch is kept: lower learning.learning_rate and {verb} again")
    if run.ended == "interrupted":
        raise typer.Exit(console.INTERRUPTED_EXIT_CODE)


COMMANDS = (simulate, train, tune, learn_mask, import_weights)
