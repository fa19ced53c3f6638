"""A model whose answer is known by hand, exported once."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from ds3d_tf.export.saved_model import export_saved_model
from ds3d_tf.setup import Setup

DEPTH_VOXELS = 8


class BrightPixels(keras.Model):
    """Every pixel lights up its 4×4 voxels at the depth that its own brightness names: 100 k + 50 → voxel k."""

    reach_px = 3

    def __init__(self, scale):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer=keras.initializers.Constant(scale), trainable=False)
        self.built = True

    def call(self, frames, training=False):
        """Give [B, 4H, 4W, D] confidences, counts."""
        counts = ops.repeat(ops.repeat(frames * self.scale, 4, axis=1), 4, axis=2)[..., None]
        depth = ops.cast(ops.arange(DEPTH_VOXELS), "float32")
        return ops.where(ops.floor(counts / 100) == depth, counts, 0.0)


def setup_for(**changes):
    base = {
        "volume.depth_voxels": DEPTH_VOXELS,
        "volume.z_min_um": 1.0,
        "volume.z_max_um": 3.0,
        "learning.peak_threshold": 120.0,
        "learning.peak_radius_voxels": 2,
        "normalization.kind": "factors",
        "normalization.subtract": 5.0,
        "normalization.divide": 10.0,
    }
    return Setup.create({}).replace({**base, **changes})


@pytest.fixture(scope="session")
def mask_rad():
    return np.random.default_rng(0).uniform(-3, 3, (101, 101))


@pytest.fixture(scope="session")
def exported(tmp_path_factory, mask_rad):
    """Export with some values of the setup changed, once for all tests; returns the folder."""
    done = {}

    def export(**changes):
        key = str(sorted(changes.items()))
        if key in done:
            return done[key]
        folder = done[key] = tmp_path_factory.mktemp("export") / "model"
        export_saved_model(BrightPixels(10.0), setup_for(**changes), mask_rad, folder)
        return folder

    return export


@pytest.fixture(scope="session")
def model_folder(exported):
    return exported()


@pytest.fixture(scope="session")
def model(model_folder):
    return tf.saved_model.load(str(model_folder))
