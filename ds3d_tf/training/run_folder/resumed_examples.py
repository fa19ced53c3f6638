"""The batches of a run that may be resumed in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable

from ds3d_tf.training.callbacks.checkpoint import Checkpoint
from ds3d_tf.training.examples import Examples


def resumed_examples(
    make: Callable[[int, int], Examples], start: Checkpoint | None
) -> tuple[Examples, Examples | None]:
    """Return the batches of the whole epochs to come, and those left of an unfinished epoch (None if there is none).

    Args:
        make: ``make(first_epoch, first_step)`` returns the batches from there on.
        start: checkpoint that the run is resumed from; None for a new run.
    """
    if start is None:
        return make(0, 0), None
    if not start.step:
        return make(start.epoch, 0), None
    return make(start.epoch + 1, 0), make(start.epoch, start.step)
