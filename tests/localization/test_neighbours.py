"""Batches get the frames beside them, and nothing else changes."""

from __future__ import annotations

import numpy as np

from ds3d_tf.localization.neighbours import with_neighbours


def frame(number: int) -> np.ndarray:
    return np.full((2, 3), float(number))


def batches(*groups: range):
    for group in groups:
        frames = np.stack([frame(number) for number in group]) if len(group) else np.zeros((0, 0, 0))
        yield frames, list(group)


def told(parts) -> list:
    return [(seen[:, 0, 0].tolist() if len(seen) else [], context, own) for seen, context, own in parts]


def test_neighbours_within_a_recording():
    found = told(with_neighbours(batches(range(2), range(2, 4), range(4, 5))))
    assert found == [
        ([0, 1, 2], (0, 1), [0, 1]),
        ([1, 2, 3, 4], (1, 1), [2, 3]),
        ([3, 4], (1, 0), [4]),
    ]


def test_a_part_of_a_recording_has_the_frames_beside_it():
    found = told(with_neighbours(batches(range(2, 4)), frame(1), lambda: frame(4)))
    assert found == [([1, 2, 3, 4], (1, 1), [2, 3])]


def test_batches_without_a_readable_frame_keep_their_place():
    found = told(with_neighbours(batches(range(0), range(2), range(0), range(3, 5), range(0))))
    assert found == [
        ([], (0, 0), []),
        ([0, 1, 3], (0, 1), [0, 1]),
        ([], (0, 0), []),
        ([1, 3, 4], (1, 0), [3, 4]),
        ([], (0, 0), []),
    ]


def test_however_divided_every_frame_sees_the_same():
    numbers = range(9)
    for size in (1, 2, 4, 9):
        groups = [numbers[first : first + size] for first in range(0, 9, size)]
        triples = []
        for seen, (before, after), own in with_neighbours(batches(*groups)):
            values = seen[:, 0, 0].tolist()
            longer = [*([] if before else [None]), *values, *([] if after else [None])]
            triples += [longer[place : place + 3] for place in range(len(own))]
        edges = [None, *numbers, None]
        assert triples == [list(three) for three in zip(edges, edges[1:], edges[2:], strict=False)]
