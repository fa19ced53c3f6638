"""Random crops keep the emitters where their light is, with the labels of those inside only."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ds3d_tf.simulation.crops import random_crops
from ds3d_tf.simulation.seeds import derived_seed, split_seed

PIXEL_UM = 0.1
SHAPE, SIDE = (13, 18), 6


def whole_frames(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames with one bright pixel each, and the emitter in it, somewhere inside that pixel."""
    rng = np.random.default_rng(0)
    frames = np.zeros((count, *SHAPE), np.float32)
    emitters = np.zeros((count, 2, 6), np.float32)
    for frame, rows in zip(frames, emitters, strict=True):
        row, column = rng.integers(SHAPE[0]), rng.integers(SHAPE[1])
        frame[row, column] = 1
        inside = rng.uniform(-0.45, 0.45, 2)
        rows[0] = [(column - 9 + inside[0]) * PIXEL_UM, (row - 6 + inside[1]) * PIXEL_UM, 1.0, 1, 500, 3]
    return frames, emitters


def test_light_and_labels_stay_together():
    frames, emitters = whole_frames(400)
    crops, moved = random_crops(frames, emitters, SIDE, PIXEL_UM, split_seed(0, "training"))
    crops, moved = crops.numpy(), moved.numpy()
    assert crops.shape == (400, SIDE, SIDE)
    for crop, rows in zip(crops, moved, strict=True):
        column, row = np.floor(rows[0, :2] / PIXEL_UM + SIDE // 2 + 0.5).astype(int)
        inside = 0 <= row < SIDE and 0 <= column < SIDE
        assert rows[0, 3] == float(inside) == crop.sum()
        if inside:
            assert crop[row, column] == 1
    np.testing.assert_array_equal(moved[:, 0, 4:], emitters[:, 0, 4:])
    assert not moved[:, 1, 3].any()


def test_every_corner_is_as_likely():
    frames = np.broadcast_to(np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(1, *SHAPE), (4000, *SHAPE))
    crops, _ = random_crops(frames, np.zeros((4000, 1, 6), np.float32), SIDE, PIXEL_UM, split_seed(1, "training"))
    corners = crops.numpy()[:, 0, 0].astype(int)
    places = np.bincount(corners // SHAPE[1] * 100 + corners % SHAPE[1])
    expected = 4000 / ((SHAPE[0] - SIDE + 1) * (SHAPE[1] - SIDE + 1))
    assert (places > 0).sum() == (SHAPE[0] - SIDE + 1) * (SHAPE[1] - SIDE + 1)
    chi2 = np.sum((places[places > 0] - expected) ** 2 / expected)
    degrees = (places > 0).sum() - 1
    assert abs(chi2 - degrees) < 4 * np.sqrt(2 * degrees)


def test_a_seed_gives_the_same_crops_and_another_gives_others():
    frames, emitters = whole_frames(16)
    seed = split_seed(0, "training")
    first, again, other = (
        random_crops(frames, emitters, SIDE, PIXEL_UM, one)[1].numpy() for one in (seed, seed, derived_seed(seed, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_channels_are_cropped_together():
    frames, emitters = whole_frames(5)
    crops, _ = random_crops(tf.stack([frames, 2 * frames], -1), emitters, SIDE, PIXEL_UM, split_seed(0, "training"))
    np.testing.assert_array_equal(crops[..., 1], 2 * crops[..., 0])
