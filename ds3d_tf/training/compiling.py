"""A network with its optimizer, loss and metric."""

from __future__ import annotations

import math
from typing import Any

import keras

from ds3d_tf.model.loss import VolumeLoss
from ds3d_tf.model.metrics import PixelJaccard, VolumeJaccard
from ds3d_tf.model.pixel_loss import EmitterLoss
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.pixel_grid import PixelGrid
from ds3d_tf.simulation.voxel_grid import VOXELS_PER_PIXEL, VoxelGrid

# Share of the initial learning rate at the end of a cosine schedule.
COSINE_END = 0.01


def compile_network(model: Any, setup: Setup, jit_compile: bool | None = None, grid: VoxelGrid | None = None) -> None:
    """Give a network the optimizer, loss and metric of a ``Setup``, for training with Keras.

    Args:
        model: the setup's network, or one of another voxel grid.
        setup: its ``Setup``.
        jit_compile: whether XLA compiles the training step; None: only if there is a GPU. On a CPU, XLA's
            convolutions take several times as long as TensorFlow's own. JAX always compiles.
        grid: the voxels of a voxel network; the setup's if None.
    """
    compiled = _worth_compiling() if jit_compile is None else jit_compile
    if setup.learning.network == "pixel":
        pixel_grid = PixelGrid.from_setup(setup)
        loss: Any = EmitterLoss(pixel_grid)
        metric: Any = PixelJaccard(pixel_grid)
    else:
        grid, scale = grid or VoxelGrid.from_setup(setup), setup.learning.scaling_factor
        coarse = setup.volume.lateral_voxels < VOXELS_PER_PIXEL and not setup.mask.learn
        loss, metric = VolumeLoss(grid, scale, coarse), VolumeJaccard(grid, scale)
    model.compile(optimizer=optimizer(setup), loss=loss, metrics=[metric], jit_compile=compiled)


def optimizer(setup: Setup) -> keras.optimizers.Optimizer:
    """Return the optimizer of a ``Setup``: Adam, or AdamW, which leaves biases and normalizations alone."""
    _, weight_decay, clip_norm = setup.learning.steps
    common: dict[str, Any] = {"learning_rate": learning_rate(setup), "global_clipnorm": clip_norm}
    if not weight_decay:
        return keras.optimizers.Adam(**common)
    chosen = keras.optimizers.AdamW(weight_decay=weight_decay, **common)
    chosen.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return chosen


def learning_rate(setup: Setup) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate of a ``Setup``: a number, or for ``cosine`` a schedule over all steps.

    With ``learning.minutes`` it is a number that ``ByTheClock`` changes while training.
    """
    learning = setup.learning
    if learning.schedule == "plateau" or learning.minutes is not None:
        return learning.learning_rate
    steps = learning.epochs * math.ceil(setup.training_set.training_count / learning.batch_size)
    rising = round(learning.steps[0] * steps)
    if not rising:
        return keras.optimizers.schedules.CosineDecay(learning.learning_rate, steps, alpha=COSINE_END)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - rising, 1), alpha=COSINE_END, warmup_target=learning.learning_rate, warmup_steps=rising
    )


def learning_rate_after(setup: Setup, done: float) -> float:
    """Return the learning rate of a ``cosine`` run of which a share ``done`` (0 … 1) is over."""
    learning, warm_up = setup.learning, setup.learning.steps[0]
    if done < warm_up:
        return learning.learning_rate * done / warm_up
    falling = min((done - warm_up) / (1 - warm_up), 1.0)
    share = COSINE_END + (1 - COSINE_END) * (1 + math.cos(math.pi * falling)) / 2
    return learning.learning_rate * share


def _worth_compiling() -> bool:
    backend = keras.backend.backend()
    return backend == "jax" or (backend == "tensorflow" and has_gpu())


def has_gpu() -> bool:
    """Return whether TensorFlow sees a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
