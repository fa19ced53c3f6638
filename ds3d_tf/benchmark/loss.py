"""One form of the loss (package or plain), timed in a separate process to measure its memory."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

EMITTERS = 18


def main(form: str, frame_px: int, depth_voxels: int, repeats: int, seed: int, scaling_factor: float) -> None:
    """Print seconds, value and the memory (GB) that loss and gradient add, as JSON."""
    import tensorflow as tf

    from ds3d_tf.benchmark.plain_loss import plain_loss
    from ds3d_tf.benchmark.timing import median_seconds
    from ds3d_tf.common.machine import peak_memory_gb
    from ds3d_tf.model.labels import label_volume
    from ds3d_tf.model.loss import VolumeLoss
    from ds3d_tf.simulation.voxel_grid import VoxelGrid

    rng = np.random.default_rng(seed)
    grid = VoxelGrid(0.11, 0.0, 4.0, depth_voxels)
    half_um = 0.11 * frame_px * 0.4
    emitters = rng.uniform([-half_um, -half_um, 0, 1], [half_um, half_um, 4, 1], (1, EMITTERS, 4)).astype(np.float32)
    shape = (1, 4 * frame_px, 4 * frame_px, depth_voxels)
    prediction = tf.nn.relu(tf.random.stateless_normal(shape, [seed, 1])) * (scaling_factor / 100)
    target: Any = tf.constant(emitters)
    loss: Any = VolumeLoss(grid, scaling_factor)
    if form == "plain":
        target = label_volume(target, grid, shape)

        def loss(labels: Any, prediction: Any) -> Any:
            return plain_loss(labels, prediction, scaling_factor)

    @tf.function(autograph=False)
    def value_and_gradient(target: Any, prediction: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(prediction)
            value = loss(target, prediction)
        return value, tape.gradient(value, prediction)

    before = peak_memory_gb()
    seconds = median_seconds(lambda: value_and_gradient(target, prediction)[0].numpy(), repeats)
    value = float(value_and_gradient(target, prediction)[0])
    print(json.dumps({"seconds": seconds, "loss": value, "memory_gb": peak_memory_gb() - before}))


if __name__ == "__main__":
    form, frame_px, depth_voxels, repeats, seed, scaling_factor = sys.argv[1:]
    main(form, int(frame_px), int(depth_voxels), int(repeats), int(seed), float(scaling_factor))
