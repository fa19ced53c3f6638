"""The frames that a training run learns from and is judged on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from ds3d_tf.simulation.stream import training_dataset

# Frames that come again in every epoch are kept in memory up to this size, in bytes, and made anew beyond.
LARGEST_CACHE = 2 * 1024**3


@dataclass(frozen=True)
class Examples:
    """The batches of a run.

    Attributes:
        training: batches of all epochs, one after the other.
        steps: batches an epoch.
        validation: batches of the validation frames, the same at every pass.
    """

    training: tf.data.Dataset
    steps: int
    validation: tf.data.Dataset


def examples(setup: Any, first_epoch: int = 0, first_step: int = 0) -> Examples:
    """Return the training and validation batches of a ``Setup``.

    Args:
        setup: the ``Setup``.
        first_epoch: epoch to begin with; the frames are those of a run that came this far.
        first_step: step of that epoch to begin with.

    Raises InputError if the mask or the data set cannot be read.
    """
    section, batch = setup.training_set, setup.learning.batch_size
    steps = math.ceil(section.training_count / batch)
    first_frame = (first_epoch * steps + first_step) * batch
    limit = setup.learning.epochs * steps * batch - first_frame
    if section.folder is not None:
        from ds3d_tf.simulation.dataset import stored_dataset

        training = stored_dataset(setup, section.folder, "training", first_frame=first_frame, limit=limit)
        validation = stored_dataset(setup, section.folder, "validation")
    else:
        training = training_dataset(setup, "training", first_frame=first_frame, limit=limit)
        if not section.fresh_each_epoch:
            training = _kept(setup, training_dataset(setup, "training"), section.training_count).repeat()
            training = training.skip(first_step)
        validation = training_dataset(setup, "validation")
    return Examples(training, steps, _kept(setup, validation, section.validation_count))


def _kept(setup: Any, batches: tf.data.Dataset, frames: int) -> tf.data.Dataset:
    size = frames * setup.volume.height_px * setup.volume.width_px * 4
    return batches.cache().prefetch(tf.data.AUTOTUNE) if size <= LARGEST_CACHE else batches
