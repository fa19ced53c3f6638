"""One trial of tools/tune.py: a network trained with some settings changed, and how well it does."""

from __future__ import annotations

import gc
import math
import os
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
# What of a trial's setup may differ from the base while both still see the same frames.
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
    """Train a trial, going on where a killed attempt had come, and return the figures of its best epoch.

    The figures are those of the network with the lowest validation loss. Matched figures are of the base's own
    validation frames, whatever frames the trial learns from.

    Args:
        base: the ``Setup`` of the search.
        folder: the trial's folder; the run goes into ``run/``.
        values: ``section.field`` → value.
        previous: folder of the trial to go on from.
        epochs: train up to this epoch; None: all.
        keep_checkpoint: whether another trial may go on from this one.
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
        # Networks of earlier trials would stay in memory for the whole search.
        keras.backend.clear_session()
        gc.collect()
    if not keep_checkpoint:
        for name in (CHECKPOINT_FILE, BEST_JACCARD_FILE):
            (run / name).unlink(missing_ok=True)
    best = min(rows, key=lambda row: row["val_loss"])
    return {name: float(value) for name, value in best.items()}


def _learn(base: Setup, setup: Setup, run: Path, epochs: int, show_progress: bool) -> list[dict[str, float]]:
    from ds3d_tf.common.file_names import CHECKPOINT_FILE
    from ds3d_tf.model import LocalizationNet
    from ds3d_tf.training import compile_network, examples, fit
    from ds3d_tf.training.callbacks.checkpoint import read_checkpoint
    from ds3d_tf.training.matched_score import matched_score

    checkpoint = run / CHECKPOINT_FILE
    start = read_checkpoint(checkpoint) if checkpoint.is_file() else None
    begun = start is not None and start.step > 0
    data = examples(setup, (start.epoch if start else 0) + begun)
    unfinished = examples(setup, start.epoch, start.step) if start and begun else None
    model = LocalizationNet.from_setup(setup)
    # A learning rate that falls over all epochs does so in a shorter trial as well.
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
        checkpoint_seconds=float(os.environ.get("DS3D_SECONDS_BETWEEN_CHECKPOINTS", "60")),
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
    own, given = (one.model_dump(exclude=set(_NOT_OF_THE_FRAMES)) for one in (setup, base))
    # The number of depth voxels divides the same emitters' depth more or less finely.
    for frames in (own, given):
        frames["volume"].pop("depth_voxels")
    if own == given:
        return validation
    from ds3d_tf.simulation.stream import training_dataset

    changes = {"normalization": setup.normalization.model_dump(), "learning.batch_size": setup.learning.batch_size}
    batches = math.ceil(SCORED_FRAMES / setup.learning.batch_size)
    return training_dataset(base.replace(changes), "validation").take(batches).cache()
