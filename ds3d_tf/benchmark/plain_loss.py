"""The loss computed by its definition, as in DeepSTORM3D: the reference for the package's faster form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


def plain_loss(labels: tf.Tensor, prediction: tf.Tensor, scaling_factor: float) -> tf.Tensor:
    """Return the loss by its definition (DeepSTORM3D): one 7×7×7 convolution of the labels and one of the prediction.

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

    def blurred(volume: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(volume[..., tf.newaxis], [[0, 0], [0, 0], [0, 0], [3, 3], [0, 0]])
        return tf.nn.conv3d(padded, kernel, [1] * 5, "VALID")

    squared = tf.reduce_mean((blurred(prediction) - blurred(scaling_factor * labels)) ** 2)
    overlap = tf.reduce_sum(prediction * labels) / scaling_factor
    return squared + 1 - (2 * overlap + 1) / (overlap + tf.reduce_sum(labels) + 1)
