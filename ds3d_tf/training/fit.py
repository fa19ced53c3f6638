"""One training run: Keras's fit with the schedule, files, checkpoints and progress bars of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.file_names import BEST_JACCARD_FILE, CHECKPOINT_FILE, CURVES_FILE, HISTORY_FILE, NETWORK_FILE
from ds3d_tf.common.interrupt import PatientInterrupt
from ds3d_tf.setup import Setup
from ds3d_tf.training.callbacks.best import KeepBest, write_network
from ds3d_tf.training.callbacks.by_the_clock import ByTheClock
from ds3d_tf.training.callbacks.checkpoint import SECONDS_BETWEEN_CHECKPOINTS, Checkpoint, Checkpointer
from ds3d_tf.training.callbacks.clock import StepClock
from ds3d_tf.training.callbacks.curves import CurvesFile
from ds3d_tf.training.callbacks.finite import LossNotFinite, StopWhenNotFinite
from ds3d_tf.training.callbacks.history import HistoryFile
from ds3d_tf.training.callbacks.interrupted import StopWhenInterrupted
from ds3d_tf.training.callbacks.lazy import LazyCallbackList
from ds3d_tf.training.callbacks.progress import ProgressBar
from ds3d_tf.training.callbacks.scores import MatchedScores, Score
from ds3d_tf.training.examples import Examples

# The schedule of DeepSTORM3D (Nehme et al., Nature Methods 2020).
IMPROVEMENT = 1e-4
PATIENCE_LEARNING_RATE = 5
PATIENCE_STOP = 7
LEARNING_RATE_FACTOR = 0.1
MIN_LEARNING_RATE = 1e-6

INTERRUPT_ANSWER = (
    "finishing the step, then export and evaluation of what was learned; press Ctrl-C again to stop without evaluation"
)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        ended: after all epochs ("finished"), by early stopping, by Ctrl-C, or because the loss was no longer finite.
        rows: the history, one dictionary per epoch.
        best_epoch: epoch of the network in ``model.keras``, from 1; 0 if no epoch ended.
        detail: what happened, for "not_finite".
    """

    ended: Literal["finished", "early", "interrupted", "not_finite"]
    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    detail: str = ""


def fit(
    model: Any,
    data: Examples,
    setup: Setup,
    folder: str | Path,
    *,
    score: Score | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    show_progress: bool = True,
    start: Checkpoint | None = None,
    unfinished: Examples | None = None,
    checkpoint_seconds: float = SECONDS_BETWEEN_CHECKPOINTS,
) -> Outcome:
    """Train a compiled network and write its best states and its history into a folder.

    Files, each written whole: ``model.keras`` (best validation loss), ``best_jaccard.keras``, ``history.csv``,
    ``curves.png`` and ``checkpoint.npz``, from which a killed run is resumed exactly. After Ctrl-C in the first epoch
    ``model.keras`` holds what was learned until then.

    Args:
        model: the setup's network, compiled.
        data: its training and validation batches.
        setup: its ``Setup``.
        folder: an existing folder.
        score: returns ``matched_jaccard``, ``rmse_lateral_nm`` and ``rmse_axial_nm`` of the model after each epoch.
        callbacks: more Keras callbacks, run before the files are written.
        show_progress: whether to show bars on stderr.
        start: checkpoint to resume from; ``data`` then begins with the first whole epoch still to come.
        unfinished: remaining batches of the checkpoint's unfinished epoch, if it has one.
        checkpoint_seconds: minimum time between two checkpoints within an epoch.

    Raises InputError if a file cannot be written.
    """
    folder = Path(folder)
    epochs = setup.learning.epochs
    history = HistoryFile(folder / HISTORY_FILE)
    curves = CurvesFile(folder / CURVES_FILE, history.rows, title=setup.name)
    best = KeepBest(folder / NETWORK_FILE, "val_loss")
    early = keras.callbacks.EarlyStopping("val_loss", min_delta=IMPROVEMENT, patience=PATIENCE_STOP, mode="min")
    clock = StepClock()
    bar = ProgressBar(epochs, data.steps, clock, setup.learning.batch_size) if show_progress else None
    timed = ByTheClock(setup, data.steps) if setup.learning.minutes is not None else None
    interrupt = PatientInterrupt(INTERRUPT_ANSWER if show_progress else "")
    chain: list[keras.callbacks.Callback] = [
        clock,
        *([timed] if timed else []),
        StopWhenInterrupted(interrupt),
        StopWhenNotFinite(),
        *([MatchedScores(score)] if score else []),
        *callbacks,
        best,
        KeepBest(folder / BEST_JACCARD_FILE, "val_jaccard", higher_is_better=True),
        history,
        curves,
        # After the history, which records the learning rate that the epoch had.
        *([_lower_on_plateau(), early] if setup.learning.schedule == "plateau" else []),
        *([bar] if bar else []),
    ]
    checkpointer = Checkpointer(
        folder / CHECKPOINT_FILE, setup.model_dump(mode="json"), chain, start, checkpoint_seconds
    )
    chain.append(checkpointer)
    if start is not None:
        # Keras creates the metrics' variables at the first batch, too late to restore them; so evaluate once before.
        # A whole pass, because a cache that is read only in part would stay incomplete.
        model.evaluate(data.validation, verbose=0, steps=data.validation_steps)
        checkpointer.restore_variables(model, start)
        checkpointer.restore_callbacks()
    ended: Literal["finished", "early", "interrupted", "not_finite"] = "finished"
    detail = ""
    if bar:
        bar.start()
    try:
        with interrupt, clock.watching(model):
            over = bool(early.stopped_epoch) or (timed is not None and timed.over)
            calls = [] if over else _calls(data, epochs, start, unfinished)
            for batches, steps, first, last in calls:
                if bar:
                    bar.first_step = data.steps - steps
                model.fit(
                    batches,
                    steps_per_epoch=steps,
                    initial_epoch=first,
                    epochs=last,
                    validation_data=data.validation,
                    validation_steps=data.validation_steps,
                    callbacks=LazyCallbackList(
                        chain, add_history=True, model=model, verbose=0, epochs=last, steps=steps
                    ),
                    verbose=0,
                    shuffle=False,
                )
                if model.stop_training:
                    break
        ended = "early" if early.stopped_epoch else "finished"
    except KeyboardInterrupt:
        ended = "interrupted"
        if best.value is None:
            write_network(best.path, model)
    except LossNotFinite as error:
        ended, detail = "not_finite", str(error)
    except InputError as error:
        if not (checkpointer.path.is_file() and str(error).startswith("cannot write")):
            raise
        raise InputError(
            f"{error.marked}; the last checkpoint is kept: free disk space and use {argument('resume')}"
        ) from error
    finally:
        if bar:
            bar.stop()
    # Not after an error: on a full disk a second error would hide the first.
    curves.draw()
    return Outcome(ended, history.rows, best.epoch, detail)


def _calls(
    data: Examples, epochs: int, start: Checkpoint | None, unfinished: Examples | None
) -> list[tuple[Any, int, int, int]]:
    """Return (batches, steps per epoch, first epoch, end) of each call of Keras's fit.

    An epoch that a checkpoint left unfinished gets a call of its own.
    """
    if start is None:
        return [(data.training, data.steps, 0, epochs)]
    calls, first = [], start.epoch
    if start.step and unfinished is not None:
        calls.append((unfinished.training, data.steps - start.step, first, first + 1))
        first += 1
    if first < epochs:
        calls.append((data.training, data.steps, first, epochs))
    return calls


def _lower_on_plateau() -> keras.callbacks.Callback:
    return keras.callbacks.ReduceLROnPlateau(
        "val_loss",
        factor=LEARNING_RATE_FACTOR,
        patience=PATIENCE_LEARNING_RATE,
        min_delta=IMPROVEMENT,
        min_lr=MIN_LEARNING_RATE,
        mode="min",
    )
