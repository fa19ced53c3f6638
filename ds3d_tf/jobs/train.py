"""The job of tools/train.py: from a setup to a run folder with a trained, exported and evaluated network."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.resumed import resumed_run
from ds3d_tf.jobs.run_folder import RUN_FILES, writable_folder
from ds3d_tf.jobs.starting_point import announce_start, prepare_network, with_absolute_start
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from ds3d_tf.training.checkpoint import Checkpoint

SCORED_FRAMES = 100
EVALUATED_FRAMES = 200
EVALUATION_SEED = 1


@dataclass(frozen=True)
class TrainedRun:
    """A run folder and how the run ended ("finished", "early", "interrupted" or "not_finite").

    ``epochs`` counts the epochs that ended, ``best_epoch`` (from 1) is the exported network's; ``figures`` are those of
    its evaluation.
    """

    folder: Path
    ended: str
    epochs: int
    best_epoch: int
    detail: str
    figures: dict[str, Any]

    def summary(self) -> str:
        """Return the outcome as a few lines."""
        from ds3d_tf.evaluation.report import summary

        how = {
            "finished": "all epochs done",
            "early": "stopped early, without improvement",
            "interrupted": "interrupted",
            "not_finite": self.detail,
        }[self.ended]
        which = f"the network of epoch {self.best_epoch}" if self.best_epoch else "the network of the unfinished epoch"
        return f"{how} ({self.epochs} epochs); kept {which}\n{summary(self.figures)}\nrun folder: {self.folder}/"


def train(
    setup: Setup | None,
    out: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    deterministic: bool = False,
    show_progress: bool = True,
) -> TrainedRun:
    """Train a network, keep the best, export it as a SavedModel and evaluate it; docs/training.md lists the files.

    Ctrl-C ends the training; what was learned until then is exported and evaluated. A second one ends that, too.

    Args:
        setup: the ``Setup``; None: that of the run that is resumed.
        out: run folder.
        overwrite: whether to replace an earlier run.
        resume: go on from the checkpoint in the run folder, on the same frames and with the same result as if the run
            had never stopped.
        deterministic: use operations that give the same bits every time only (slower).
        show_progress: whether to show bars on stderr.

    Raises InputError for a setup that cannot be trained or is not the resumed run's, an output that exists or cannot be
    written, or a loss that is not finite in the first epoch.
    """
    start: Checkpoint | None = None
    setup = with_absolute_start(setup) if setup is not None else None
    if resume or (setup is not None and setup.resuming.resume):
        setup, start = resumed_run(setup, Path(out))
        out = Path(out)
    else:
        if setup is None:
            raise InputError("--setup is missing; only a run that is resumed has one in its folder")
        out = writable_folder(out, overwrite, RUN_FILES, "run folder")
    _check(setup)

    import tensorflow as tf

    from ds3d_tf.export.saved_model import export_saved_model
    from ds3d_tf.jobs.evaluate import evaluate
    from ds3d_tf.jobs.matched_score import matched_score
    from ds3d_tf.model import LocalizationNet
    from ds3d_tf.model.files import load_model_folder, save_setup_and_mask
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.training import compile_network, examples, fit

    if deterministic:
        tf.config.experimental.enable_op_determinism()
    mask_rad = load_mask(setup)
    begun = start is not None and start.step > 0
    model = LocalizationNet.from_setup(setup)
    told = prepare_network(model, setup, load=start is None)
    data = examples(setup, (start.epoch if start else 0) + begun)
    unfinished = examples(setup, start.epoch, start.step) if start and begun else None
    compile_network(model, setup)
    if start is None and setup.resuming.checkpoint is not None:
        announce_start(model, data.validation, told)

    if start is None:
        if out.exists():
            shutil.rmtree(out)
        save_setup_and_mask(out, setup, mask_rad)
    score = matched_score(setup, data.validation, SCORED_FRAMES)
    try:
        outcome = fit(
            model,
            data,
            setup,
            out,
            score=score,
            show_progress=show_progress,
            start=start,
            unfinished=unfinished,
            checkpoint_seconds=float(os.environ.get("DS3D_SECONDS_BETWEEN_CHECKPOINTS", "60")),
        )
    except tf.errors.ResourceExhaustedError as error:
        raise InputError(
            f"not enough memory for {setup.learning.batch_size} frames a step; lower learning.batch_size"
        ) from error
    finally:
        nothing = not (out / "model.keras").is_file()
        if nothing and start is None and not (out / "checkpoint.npz").is_file():
            shutil.rmtree(out)
    if nothing:
        shutil.rmtree(out, ignore_errors=True)
        raise InputError(f"{outcome.detail}; nothing was learned: lower learning.learning_rate or check the setup")

    best, _, _ = load_model_folder(out)
    export_saved_model(best, setup, mask_rad, out / "saved_model")
    evaluation = evaluate(out, out / "evaluation", count=EVALUATED_FRAMES, seed=EVALUATION_SEED, overwrite=True)
    return TrainedRun(out, outcome.ended, len(outcome.rows), outcome.best_epoch, outcome.detail, evaluation.figures)


def _check(setup: Setup) -> None:
    if setup.mask.learn:
        raise InputError(
            f"{setup.name}: mask.learn is true, but this trains localization networks; use tools/learn_mask.py, or add "
            "--set mask.learn=false"
        )
