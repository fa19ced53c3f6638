"""One trial of a search: a network trained with some settings changed, and its metrics."""

from __future__ import annotations

import functools
import gc
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_folder
from ds3d_tf.setup import Setup
from ds3d_tf.setup.search_space import changed_setup
from ds3d_tf.training.search.search import RUN_FOLDER, TrialFailed

SCORED_FRAMES = 100
# Sections in which a trial may differ from the base while both still see the same frames.
_NOT_OF_THE_FRAMES = ("name", "learning", "normalization", "resuming")


def train_trial(
    base: Setup,
    folder: Path,
    values: Mapping[str, Any],
    *,
    previous: Path | None = None,
    epochs: int | None = None,
    keep_checkpoint: bool = False,
    show_progress: bool = True,
) -> dict[str, float]:
    """Train a trial, resuming a killed attempt, and return the metrics of its best epoch.

    The metrics are those of the network with the lowest validation loss. Matched metrics are measured on the base's
    validation frames, whatever frames the trial learns from.

    Args:
        base: the ``Setup`` of the search.
        folder: the trial's folder; the run goes into ``run/``.
        values: ``section.field`` → value.
        previous: folder of the trial that this one continues.
        epochs: train up to this epoch; None: all.
        keep_checkpoint: whether another trial may continue this one.
        show_progress: whether to show bars on stderr.

    Raises TrialFailed for settings that do not go together, a loss that is not finite, or too little memory; InputError
    if a file cannot be written; KeyboardInterrupt.
    """
    try:
        setup = changed_setup(base, values)
    except InputError as error:
        raise TrialFailed(str(error)) from error
    import keras
    import tensorflow as tf

    from ds3d_tf.common.file_names import BEST_JACCARD_FILE, CHECKPOINT_FILE

    run = folder / RUN_FOLDER
    if previous is not None and not (run / CHECKPOINT_FILE).is_file():
        with whole_folder(run) as temporary:
            shutil.copytree(previous / RUN_FOLDER, temporary, dirs_exist_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    try:
        rows = _learn(base, setup, run, epochs or setup.learning.epochs, show_progress)
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise TrialFailed("not enough memory") from error
    finally:
        # Otherwise the networks of all trials would stay in memory.
        keras.backend.clear_session()
        gc.collect()
    if not keep_checkpoint:
        for name in (CHECKPOINT_FILE, BEST_JACCARD_FILE):
            (run / name).unlink(missing_ok=True)
    best = min(rows, key=lambda row: row["val_loss"])
    return {name: float(value) for name, value in best.items()}


def _learn(base: Setup, setup: Setup, run: Path, epochs: int, show_progress: bool) -> list[dict[str, float]]:
    from ds3d_tf.common.file_names import CHECKPOINT_FILE
    from ds3d_tf.model import network_from_setup
    from ds3d_tf.training import compile_network, examples, fit
    from ds3d_tf.training.callbacks.checkpoint import checkpoint_seconds, read_checkpoint
    from ds3d_tf.training.matched_score import matched_score
    from ds3d_tf.training.run_folder.resumed_examples import resumed_examples

    checkpoint = run / CHECKPOINT_FILE
    start = read_checkpoint(checkpoint) if checkpoint.is_file() else None
    data, unfinished = resumed_examples(functools.partial(examples, setup), start)
    model = network_from_setup(setup)
    # With all epochs, so that a short trial has the learning rates of the first epochs of a long one.
    compile_network(model, setup)
    outcome = fit(
        model,
        data,
        setup.replace({"learning.epochs": epochs}),
        run,
        score=matched_score(setup, judged_frames(base, setup, data.validation), SCORED_FRAMES),
        show_progress=show_progress,
        start=start,
        unfinished=unfinished,
        checkpoint_seconds=checkpoint_seconds(),
    )
    if outcome.ended == "interrupted":
        raise KeyboardInterrupt
    if outcome.ended == "not_finite":
        raise TrialFailed(outcome.detail)
    return outcome.rows


def judged_frames(base: Setup, setup: Setup, validation: Any) -> Any:
    """Return the validation batches of the base's frames, normalized as the trial's network expects them.

    Args:
        base: the ``Setup`` of the search.
        setup: that of the trial.
        validation: the trial's own validation batches, returned if they are the same frames.
    """
    trial, original = (one.model_dump(exclude=set(_NOT_OF_THE_FRAMES)) for one in (setup, base))
    # The number of depth voxels changes the labels, not the frames.
    for frames in (trial, original):
        frames["volume"].pop("depth_voxels")
    if trial == original:
        return validation
    from ds3d_tf.simulation.stream import training_dataset

    changes = {"normalization": setup.normalization.model_dump(), "learning.batch_size": setup.learning.batch_size}
    batches = math.ceil(SCORED_FRAMES / setup.learning.batch_size)
    return training_dataset(base.replace(changes), "validation").take(batches).cache()
