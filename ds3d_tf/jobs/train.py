"""The job of `ds3d train`: from a setup to a run folder with a trained, exported and evaluated network."""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.file_names import CHECKPOINT_FILE, LOGS_FOLDER, NETWORK_FILE
from ds3d_tf.common.leftovers import sweep_folder
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, new_folder, remove_output
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import TrainOptions
from ds3d_tf.setup import Setup
from ds3d_tf.training.run_folder.resumed import resumed_run
from ds3d_tf.training.run_folder.starting_point import announce_start, prepare_network, with_absolute_start

if TYPE_CHECKING:
    from ds3d_tf.training.callbacks.checkpoint import Checkpoint
    from ds3d_tf.training.distributed.devices import Devices
    from ds3d_tf.training.distributed.workers import Workers

SCORED_FRAMES = 100


@dataclass(frozen=True)
class TrainedRun:
    """A run folder and how the run ended ("finished", "early", "interrupted" or "not_finite").

    ``epochs`` counts the epochs that ended, ``best_epoch`` (from 1) is the exported network's; ``metrics`` are those of
    its evaluation. Of several workers, only the first one has a run folder and metrics.
    """

    folder: Path
    ended: str
    epochs: int
    best_epoch: int
    detail: str
    metrics: dict[str, Any]

    def summary(self) -> str:
        """Return the outcome as a few lines."""
        from ds3d_tf.evaluation.report import summary
        from ds3d_tf.training.run_folder.parts import how_it_ended

        how = how_it_ended(self.ended, self.detail)
        if not self.metrics:
            return f"{how} ({self.epochs} epochs); the run folder is the first worker's"
        which = f"the network of epoch {self.best_epoch}" if self.best_epoch else "the network of the unfinished epoch"
        return f"{how} ({self.epochs} epochs); kept {which}\n{summary(self.metrics)}\nrun folder: {self.folder}/"


@takes_options(TrainOptions)
def train(
    setup: Setup | None,
    out: str | Path,
    options: TrainOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
    on_wait: Callable[[Workers], None] = lambda workers: None,
) -> TrainedRun:
    """Train a network, keep the best, export it as a SavedModel and evaluate it; docs/training.md lists the files.

    Ctrl-C ends the training; what was learned until then is exported and evaluated. A second one ends that, too.

    Args:
        setup: what is learned; None: that of the run that is resumed.
        out: run folder.
        options: see :class:`~ds3d_tf.options.TrainOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier run.
        progress: told how far the evaluation is; if it is given, bars on stderr also show the training.
        on_wait: called before waiting for the other workers.

    Raises InputError for a setup that cannot be trained or is not the resumed run's, an output that exists or cannot be
    written, or a loss that is not finite in the first epoch.
    """
    from ds3d_tf.training.distributed.devices import check_batches, distribute, open_devices
    from ds3d_tf.training.distributed.workers import read_workers

    out = Path(out)
    start: Checkpoint | None = None
    setup = with_absolute_start(setup) if setup is not None else None
    if options.resume or (setup is not None and setup.resuming.resume):
        setup, start = resumed_run(setup, out)
    else:
        if setup is None:
            raise InputError(f"{argument('setup')} is missing; only a run that is resumed has one in its folder")
        if options.devices != "workers" or read_workers().is_chief:
            out = check_folder(out, overwrite, "train")
    _check(setup)
    where = open_devices(options.devices, on_wait)
    check_batches(setup, where)

    import keras
    import tensorflow as tf

    from ds3d_tf.export.card import this_machine, write_card
    from ds3d_tf.export.finish_run import finish_run
    from ds3d_tf.model import network_from_setup
    from ds3d_tf.model.files import save_setup_and_mask
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.training import compile_network, examples, fit
    from ds3d_tf.training.callbacks.tensorboard import TensorBoardLog
    from ds3d_tf.training.cost import estimate_cost
    from ds3d_tf.training.matched_score import matched_score
    from ds3d_tf.training.run_folder.files import RUN_FILES
    from ds3d_tf.training.run_folder.parts import begin_part, end_part
    from ds3d_tf.training.run_folder.resumed_examples import resumed_examples

    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    mask_rad = load_mask(setup)

    with where.scope():
        model = network_from_setup(setup)
    messages = prepare_network(model, setup, load=start is None)
    data, unfinished = resumed_examples(partial(examples, setup, devices=where), start)
    with where.scope():
        compile_network(model, setup)
    distribute(model, where)
    if start is None and setup.resuming.checkpoint is not None:
        announce_start(model, data, messages)

    if not where.is_chief:
        # Every worker does the same, so that none waits for another; only the first one's files are kept.
        out = Path(tempfile.mkdtemp())
    if start is None:
        with new_folder(out, "train", RUN_FILES) as folder:
            save_setup_and_mask(folder, setup, mask_rad)
    sweep_folder(out)
    begin_part(out, start.epoch if start else 0, this_machine())
    write_card(out)
    show_progress = progress is not no_progress and where.is_chief
    judged = data.validation if where.count == 1 else examples(setup).validation
    score = matched_score(setup, judged, SCORED_FRAMES)
    if show_progress and where.count == 1 and keras.backend.backend() == "tensorflow":
        print(estimate_cost(model, examples(setup), setup).summary(setup), file=sys.stderr)
    try:
        outcome = fit(
            model,
            data,
            setup,
            out,
            score=score,
            callbacks=[TensorBoardLog(out / LOGS_FOLDER, setup, judged)] if options.tensorboard else [],
            show_progress=show_progress,
            start=start,
            unfinished=unfinished,
            checkpoint_seconds=_checkpoint_seconds(where),
        )
    except KeyboardInterrupt:
        # Pressed a second time: the run's card must not stay under way.
        end_part(out, "interrupted", 0)
        write_card(out)
        raise
    except tf.errors.ResourceExhaustedError as error:
        raise InputError(
            f"not enough memory for {setup.learning.batch_size} frames a step; lower learning.batch_size"
        ) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if where.workers is None:
            raise
        raise InputError(
            f"another worker no longer answers ({str(error).splitlines()[0]}); "
            f"start all of them again with {argument('resume')}"
        ) from error
    finally:
        nothing = not (out / NETWORK_FILE).is_file()
        if nothing and start is None and not (out / CHECKPOINT_FILE).is_file():
            remove_output(out)
    if not where.is_chief:
        shutil.rmtree(out, ignore_errors=True)
        return TrainedRun(out, outcome.ended, len(outcome.rows), outcome.best_epoch, outcome.detail, {})
    if nothing:
        if start is None:
            remove_output(out)
        raise InputError(f"{outcome.detail}; nothing was learned: lower learning.learning_rate or check the setup")

    end_part(out, outcome.ended, len(outcome.rows))
    write_card(out)
    metrics = finish_run(out, progress)
    write_card(out)
    return TrainedRun(out, outcome.ended, len(outcome.rows), outcome.best_epoch, outcome.detail, metrics)


def _checkpoint_seconds(where: Devices) -> float:
    from ds3d_tf.training.callbacks.checkpoint import checkpoint_seconds

    # Reading the running means needs all machines at the same moment: possible only at the end of an epoch.
    return math.inf if where.workers else checkpoint_seconds()


def _check(setup: Setup) -> None:
    if setup.mask.learn:
        raise InputError(
            f"{setup.name}: mask.learn is true, but this trains localization networks; use `ds3d learn-mask`, or set "
            "mask.learn=false"
        )
