"""A setup so small that an epoch takes a second."""

from __future__ import annotations

import pytest

from ds3d_tf.setup import Setup, load_setup

TINY = [
    "volume.height_px=20",
    "volume.width_px=24",
    "volume.margin_px=4",
    "volume.depth_voxels=5",
    "emitters.count_range=[1, 4]",
    "learning.filters=4",
    "learning.batch_size=4",
    "learning.epochs=3",
    "learning.learning_rate=0.003",
    "learning.schedule=plateau",
    "training_set.training_count=16",
    "training_set.validation_count=8",
]


@pytest.fixture(scope="session")
def tiny() -> Setup:
    return load_setup("quickstart", TINY)
