"""From raw counts to the network's input."""

from __future__ import annotations

import tensorflow as tf

from ds3d_tf.setup.sections import NormalizationSection


def normalize(frames: tf.Tensor, section: NormalizationSection) -> tf.Tensor:
    """Return frames as a network takes them.

    Args:
        frames: float32 ``[B, H, W]``, raw counts.
        section: the setup's normalization section: ``project_01`` stretches each frame to [0, 1] by its own range
            (a constant frame becomes 0), ``factors`` is (counts - subtract) / divide.

    Returns:
        float32 ``[B, H, W]``, no unit.
    """
    frames = tf.convert_to_tensor(frames)
    if section.kind == "factors":
        return (frames - section.subtract) / section.divide
    lowest = tf.reduce_min(frames, axis=[1, 2], keepdims=True)
    highest = tf.reduce_max(frames, axis=[1, 2], keepdims=True)
    return tf.math.divide_no_nan(frames - lowest, highest - lowest)
