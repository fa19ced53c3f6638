"""Reading ahead: every frame once, in order, errors where they belong, bounded by what is asked for."""

import threading
import time

import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.localization.frames.read_ahead import read_ahead
from ds3d_tf.localization.frames.source import FrameSource


class Planes:
    """A reader of numbered planes; those in ``damaged`` fail."""

    def __init__(self, count, damaged=()):
        self.count, self.damaged, self.reads = count, set(damaged), 0

    def __len__(self):
        return self.count

    def name(self, index):
        return f"plane {index}"

    def read(self, index):
        self.reads += 1
        if index in self.damaged:
            raise InputError(f"plane {index}: damaged")
        return np.full((3, 4), index, np.uint16)

    def close(self):
        pass


def indices(batches):
    return [list(batch.indices) for batch in batches]


@pytest.mark.parametrize("batch_size", [1, 3, 10, 50])
def test_every_frame_once_in_order(batch_size):
    batches = list(read_ahead(FrameSource([Planes(10)], "x"), batch_size))
    assert [index for batch in batches for index in batch.indices] == list(range(10))
    frames = np.concatenate([batch.frames for batch in batches])
    np.testing.assert_array_equal(frames[:, 0, 0], np.arange(10))
    assert frames.dtype == np.float32


def test_start_in_the_middle():
    assert indices(read_ahead(FrameSource([Planes(10)], "x"), 4, start=5)) == [[5, 6, 7, 8], [9]]
    assert indices(read_ahead(FrameSource([Planes(10)], "x"), 4, start=10)) == []


def test_frames_before_a_damaged_one_come_first():
    seen = []
    with pytest.raises(InputError, match="plane 5: damaged"):
        seen.extend(read_ahead(FrameSource([Planes(10, [5])], "x"), 3))
    assert [(batch.first, batch.count, batch.indices) for batch in seen] == [(0, 3, [0, 1, 2]), (3, 2, [3, 4])]


def test_damaged_frames_are_left_out_when_asked():
    batches = list(read_ahead(FrameSource([Planes(10, [3, 4, 5, 7])], "x"), 3, skip_damaged=True))
    assert indices(batches) == [[0, 1, 2], [], [6, 8], [9]]
    assert [batch.first + batch.count for batch in batches] == [3, 6, 9, 10]
    assert batches[1].damaged == {index: f"plane {index}: damaged" for index in (3, 4, 5)}


def test_reads_only_a_few_batches_ahead_and_ends_its_thread():
    planes = Planes(1000)
    batches = read_ahead(FrameSource([planes], "x"), 2, batches_ahead=2)
    next(batches)
    time.sleep(0.3)
    assert planes.reads <= 2 * 5
    batches.close()
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())
