"""The batches of a run."""

from __future__ import annotations

import numpy as np

from ds3d_tf.simulation.dataset import write_dataset
from ds3d_tf.training import examples


def frames_of(dataset) -> np.ndarray:
    return np.concatenate([frames.numpy() for frames, _ in dataset])


def test_epochs_follow_one_another(tiny):
    data = examples(tiny)
    assert data.steps == 4
    frames = frames_of(data.training)
    assert frames.shape == (3 * 16, 20, 24)
    assert len(np.unique(frames.reshape(48, -1), axis=0)) == 48, "every epoch brings fresh frames"
    assert np.array_equal(frames_of(examples(tiny, first_epoch=1).training), frames[16:])


def test_validation_is_the_same_at_every_pass(tiny):
    validation = examples(tiny).validation
    first = frames_of(validation)
    assert first.shape == (8, 20, 24)
    assert np.array_equal(frames_of(validation), first)


def test_repeated_epochs(tiny):
    data = examples(tiny.replace({"training_set.fresh_each_epoch": False}))
    frames = frames_of(data.training.take(2 * data.steps))
    assert np.array_equal(frames[:16], frames[16:])


def test_a_last_batch_that_would_be_smaller_is_filled(tiny):
    data = examples(tiny.replace({"training_set.training_count": 14}))
    assert data.steps == 4
    assert frames_of(data.training).shape[0] == 3 * 16


def test_stored_frames(tiny, tmp_path):
    write_dataset(tmp_path, tiny, 24, seed=3)
    data = examples(tiny.replace({"training_set.folder": str(tmp_path)}))
    frames = frames_of(data.training)
    # 24 frames: 16 to train on, in a new order every epoch, and 8 to validate.
    assert frames.shape == (48, 20, 24)
    first, second = (np.unique(part.reshape(16, -1), axis=0) for part in (frames[:16], frames[16:32]))
    assert np.array_equal(first, second)
    assert not np.array_equal(frames[:16], frames[16:32])
    assert frames_of(data.validation).shape == (8, 20, 24)
