"""The batches that a run that learns a mask learns from and is validated on."""

from __future__ import annotations

import math

import tensorflow as tf

from ds3d_tf.setup import Setup
from ds3d_tf.simulation.imaging_stream import imaging_dataset
from ds3d_tf.training.examples import MAX_CACHE_BYTES, Examples


def imaging_examples(setup: Setup, first_epoch: int = 0, first_step: int = 0) -> Examples:
    """Return the training and validation batches of a ``Setup``: emitters, background and noise instead of frames.

    Args:
        setup: the ``Setup``.
        first_epoch: epoch to begin with; the batches are those that a run without a break has there.
        first_step: step of that epoch to begin with.
    """
    section, batch = setup.training_set, setup.learning.batch_size
    steps = math.ceil(section.training_count / batch)
    first_frame = (first_epoch * steps + first_step) * batch
    limit = setup.learning.epochs * steps * batch - first_frame
    training = imaging_dataset(setup, "training", first_frame=first_frame, limit=limit)
    return Examples(training, steps, _kept(imaging_dataset(setup, "validation"), section.validation_count))


def _kept(batches: tf.data.Dataset, frames: int) -> tf.data.Dataset:
    specs = tf.nest.flatten(batches.element_spec)
    size = frames * sum(spec.dtype.size * spec.shape[1:].num_elements() for spec in specs)
    return batches.cache().prefetch(tf.data.AUTOTUNE) if size <= MAX_CACHE_BYTES else batches
