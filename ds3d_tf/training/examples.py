"""The frames that a training run learns from and is validated on."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.stream import training_dataset
from ds3d_tf.training.distributed.devices import ONE_DEVICE, Devices, distributed_batches, steps_of

# Frames that are the same in every epoch are kept in memory up to this size, in bytes; more are simulated again.
MAX_CACHE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Examples:
    """The batches of a run.

    Attributes:
        training: batches of all epochs, one after the other.
        steps: batches per epoch.
        validation: batches of the validation frames, the same in every pass.
        validation_steps: batches per pass; None: until ``validation`` ends.
    """

    training: tf.data.Dataset
    steps: int
    validation: tf.data.Dataset
    validation_steps: int | None = None


def examples(setup: Setup, first_epoch: int = 0, first_step: int = 0, devices: Devices = ONE_DEVICE) -> Examples:
    """Return the training and validation batches of a ``Setup``.

    Args:
        setup: the ``Setup``.
        first_epoch: epoch to begin with; the frames are those that a run without a break has there.
        first_step: step of that epoch to begin with.
        devices: where the run trains; several devices share every batch that a single device would get.

    Raises InputError if the mask or the data set cannot be read, or the batches cannot be shared equally.
    """
    section, batch, share = setup.training_set, setup.learning.batch_size, devices.share
    steps = steps_of(section.training_count, batch)
    first_frame = (first_epoch * steps + first_step) * batch
    limit = setup.learning.epochs * steps * batch - first_frame
    validation_count = section.validation_count
    if section.folder is not None:
        from ds3d_tf.simulation.dataset import stored_dataset

        training = stored_dataset(setup, section.folder, "training", first_frame=first_frame, limit=limit, share=share)
        validation = stored_dataset(setup, section.folder, "validation", share=share)
        if devices.count > 1:
            validation_count = _stored_validation_count(setup, devices)
    else:
        training = training_dataset(setup, "training", first_frame=first_frame, limit=limit, share=share)
        if not section.fresh_each_epoch:
            epoch = training_dataset(setup, "training", share=share)
            training = _kept(setup, epoch, section.training_count).repeat()
            training = training.skip(first_step)
        validation = training_dataset(setup, "validation", share=share)
    validation = _kept(setup, validation, section.validation_count)
    if devices.count == 1:
        return Examples(training, steps, validation)
    return Examples(
        distributed_batches(training, devices),
        steps,
        distributed_batches(validation, devices),
        steps_of(validation_count, batch),
    )


def _stored_validation_count(setup: Setup, devices: Devices) -> int:
    """Return the number of validation frames of a data set on disk; raises InputError if devices cannot share them."""
    from ds3d_tf.simulation.dataset import load_dataset, split_frames

    folder = setup.training_set.folder
    assert folder is not None
    count = len(split_frames(setup, len(load_dataset(folder).frames), "validation"))
    if count % devices.count:
        raise InputError(
            f"{folder}: its {count} validation frames cannot be shared equally by {devices.count} devices; "
            "change the share that training_set.validation_count has of all frames"
        )
    return count


def _kept(setup: Setup, batches: tf.data.Dataset, frames: int) -> tf.data.Dataset:
    size = frames * setup.volume.height_px * setup.volume.width_px * 4 * setup.learning.context_frames
    return batches.cache().prefetch(tf.data.AUTOTUNE) if size <= MAX_CACHE_BYTES else batches
