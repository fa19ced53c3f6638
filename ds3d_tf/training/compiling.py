"""A network with its optimizer, loss and metric."""

from __future__ import annotations

from typing import Any

import keras

from ds3d_tf.model.loss import VolumeLoss
from ds3d_tf.model.metrics import VolumeJaccard
from ds3d_tf.simulation.voxel_grid import VoxelGrid


def compile_network(model: Any, setup: Any, jit_compile: bool | None = None) -> None:
    """Give a LocalizationNet the optimizer, loss and metric of a ``Setup``, for training with Keras.

    Args:
        model: the LocalizationNet.
        setup: its ``Setup``.
        jit_compile: whether XLA compiles the training step; None: only if there is a GPU. On a CPU, XLA's
            convolutions take several times as long as TensorFlow's own.
    """
    grid, scale = VoxelGrid.from_setup(setup), setup.learning.scaling_factor
    model.compile(
        optimizer=keras.optimizers.Adam(setup.learning.learning_rate),
        loss=VolumeLoss(grid, scale),
        metrics=[VolumeJaccard(grid, scale)],
        jit_compile=has_gpu() if jit_compile is None else jit_compile,
    )


def has_gpu() -> bool:
    """Return whether TensorFlow sees a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
