"""The loss by its definition, as DeepSTORM3D computes it: what the package's own is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain_loss(labels: Any, prediction: Any, scaling_factor: float) -> Any:
    """Return the loss by its definition: volumes of labels and one 7×7×7 convolution of each (DeepSTORM3D).

    Args:
        labels: float32 ``[B, R, C, D]``, 0 or 1 in each voxel.
        prediction: float32 ``[B, R, C, D]``, confidence in [0, scaling_factor].
        scaling_factor: largest confidence.

    Returns:
        float32 scalar, no unit.
    """
    import tensorflow as tf

    from ds3d_tf.model.loss import blur_kernel

    axis = np.array(blur_kernel(), np.float32)
    kernel = tf.constant((axis[:, None, None] * axis[:, None] * axis)[..., None, None])

    def blurred(volume: Any) -> Any:
        padded = tf.pad(volume[..., tf.newaxis], [[0, 0], [0, 0], [0, 0], [3, 3], [0, 0]])
        return tf.nn.conv3d(padded, kernel, [1] * 5, "VALID")

    squared = tf.reduce_mean((blurred(prediction) - blurred(scaling_factor * labels)) ** 2)
    overlap = tf.reduce_sum(prediction * labels) / scaling_factor
    return squared + 1 - (2 * overlap + 1) / (overlap + tf.reduce_sum(labels) + 1)
