"""A network with its optimizer, loss and metric."""

from __future__ import annotations

import math
from typing import Any

import keras

from ds3d_tf.model.loss import VolumeLoss
from ds3d_tf.model.metrics import VolumeJaccard
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.voxel_grid import VoxelGrid

# Share of the initial learning rate at the end of a cosine schedule.
COSINE_END = 0.01


def compile_network(model: Any, setup: Setup, jit_compile: bool | None = None, grid: VoxelGrid | None = None) -> None:
    """Give a network the optimizer, loss and metric of a ``Setup``, for training with Keras.

    Args:
        model: a LocalizationNet, or a network of another voxel grid.
        setup: its ``Setup``.
        jit_compile: whether XLA compiles the training step; None: only if there is a GPU. On a CPU, XLA's
            convolutions take several times as long as TensorFlow's own. JAX always compiles.
        grid: the network's voxels; the setup's if None.
    """
    grid, scale = grid or VoxelGrid.from_setup(setup), setup.learning.scaling_factor
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate(setup)),
        loss=VolumeLoss(grid, scale),
        metrics=[VolumeJaccard(grid, scale)],
        jit_compile=_worth_compiling() if jit_compile is None else jit_compile,
    )


def learning_rate(setup: Setup) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate of a ``Setup``: a number, or for ``cosine`` a schedule over all steps."""
    learning = setup.learning
    if learning.schedule == "plateau":
        return learning.learning_rate
    steps = learning.epochs * math.ceil(setup.training_set.training_count / learning.batch_size)
    return keras.optimizers.schedules.CosineDecay(learning.learning_rate, steps, alpha=COSINE_END)


def _worth_compiling() -> bool:
    backend = keras.backend.backend()
    return backend == "jax" or (backend == "tensorflow" and has_gpu())


def has_gpu() -> bool:
    """Return whether TensorFlow sees a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
