"""What a run that learns a mask learns from and is judged on."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from ds3d_tf.simulation.imaging_stream import imaging_dataset
from ds3d_tf.training.examples import MAX_CACHE_BYTES, Examples


def imaging_examples(setup: Any, first_epoch: int = 0, first_step: int = 0) -> Examples:
    """Return the training and validation batches of a ``Setup``: what frames are made of, without the frames.

    Args:
        setup: the ``Setup``.
        first_epoch: epoch to begin with; the batches are those of a run that came this far.
        first_step: step of that epoch to begin with.
    """
    section, batch = setup.training_set, setup.learning.batch_size
    steps = math.ceil(section.training_count / batch)
    first_frame = (first_epoch * steps + first_step) * batch
    limit = setup.learning.epochs * steps * batch - first_frame
    training = imaging_dataset(setup, "training", first_frame=first_frame, limit=limit)
    return Examples(training, steps, _kept(imaging_dataset(setup, "validation"), section.validation_count))


def _kept(batches: tf.data.Dataset, frames: int) -> tf.data.Dataset:
    parts = tf.nest.flatten(batches.element_spec)
    size = frames * sum(part.dtype.size * part.shape[1:].num_elements() for part in parts)
    return batches.cache().prefetch(tf.data.AUTOTUNE) if size <= MAX_CACHE_BYTES else batches
