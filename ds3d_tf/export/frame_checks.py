"""What a model refuses, whoever runs it: the checks are part of the graph, so that every server has them."""

from __future__ import annotations

import tensorflow as tf

FRAMES_MESSAGE = "frames: expected raw counts, float32 [batch, row, column]"


def check_frames(frames: tf.Tensor, min_px: int) -> tf.Tensor:
    """Return the frames, or fail with InvalidArgumentError when the graph is run.

    Args:
        frames: float32 ``[B, H, W]`` (row, column), raw counts.
        min_px: smallest allowed H and W, pixels.

    Returns:
        the same, float32 ``[B, H, W]``, raw counts, if they are of this rank, one or more, large enough and finite.
    """
    # Servers feed what they are sent: a shape that was given when the graph was made is no promise.
    shape = tf.shape(tf.ensure_shape(frames, [None, None, None], name="frames_must_have_shape_batch_row_column"))
    checks = [
        tf.debugging.Assert(shape[0] > 0, [f"{FRAMES_MESSAGE}, got no frame: batch is 0"]),
        tf.debugging.Assert(
            tf.reduce_min(shape[1:]) >= min_px,
            [f"{FRAMES_MESSAGE}, each side at least {min_px} pixels (the reach of the network), got shape", shape],
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.debugging.check_numerics(frames, f"{FRAMES_MESSAGE}, got pixels that are NaN or infinite")
