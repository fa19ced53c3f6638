"""The matched figures of each epoch, for a network whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.simulation.voxel_grid import VoxelGrid
from ds3d_tf.training.matched_score import matched_score

SHAPE = (20, 24)


@pytest.fixture
def batches(tiny):
    """Three frames whose first pixel is their number; frame 2 has no labelled emitter."""
    frames = np.zeros((3, *SHAPE), np.float32)
    frames[:, 0, 0] = np.arange(3)
    voxels = np.array([[[30, 40, 1], [50, 60, 3]], [[40, 40, 2], [40, 70, 2]], [[8, 8, 0], [8, 8, 0]]])
    emitters = np.ones((3, 2, 4), np.float32)
    emitters[..., :3] = VoxelGrid.from_setup(tiny).positions_um(voxels, SHAPE).numpy()
    emitters[2, :, 3] = 0
    return tf.data.Dataset.from_tensor_slices((frames, emitters)).batch(2), voxels


def answering(places: dict[int, list[list[int]]], depth: int):
    """A network that is sure of the given voxels (row, column, depth) in each frame."""
    volumes = np.zeros((3, 4 * SHAPE[0], 4 * SHAPE[1], depth), np.float32)
    for frame, voxels in places.items():
        for voxel in voxels:
            volumes[(frame, *voxel)] = 700
    return lambda frames, training: tf.gather(tf.constant(volumes), tf.cast(frames[:, 0, 0], tf.int32))


def test_all_found(tiny, batches):
    dataset, voxels = batches
    model = answering({0: voxels[0], 1: voxels[1]}, tiny.volume.depth_voxels)
    score = matched_score(tiny, dataset)(model)
    assert score["matched_jaccard"] == 1
    assert score["rmse_lateral_nm"] == pytest.approx(0, abs=1e-3)
    assert score["rmse_axial_nm"] == pytest.approx(0, abs=1e-3)


def test_shifted_missed_and_invented(tiny, batches):
    dataset, _ = batches
    found = {0: [[30, 41, 1], [50, 60, 3]], 1: [[40, 40, 2]], 2: [[60, 60, 4]]}
    score = matched_score(tiny, dataset)(answering(found, tiny.volume.depth_voxels))
    assert score["matched_jaccard"] == pytest.approx(3 / 5)
    # One of three is a voxel off: a quarter of a pixel.
    assert score["rmse_lateral_nm"] == pytest.approx(1000 * tiny.optics.pixel_um / 4 / np.sqrt(3), rel=1e-4)
    assert matched_score(tiny, dataset, frames=2)(answering(found, 5))["matched_jaccard"] == pytest.approx(3 / 4)


def test_nothing_found(tiny, batches):
    assert matched_score(tiny, batches[0])(answering({}, tiny.volume.depth_voxels)) == {"matched_jaccard": 0}
