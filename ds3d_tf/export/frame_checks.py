"""Checks of the input frames that are part of the exported graph, so that every server applies them."""

from __future__ import annotations

import tensorflow as tf

FRAMES_MESSAGE = "frames: expected raw counts, float32 [batch, row, column]"


def check_frames(frames: tf.Tensor, min_px: int) -> tf.Tensor:
    """Return the frames; the graph fails with InvalidArgumentError if they are not valid.

    Args:
        frames: float32 ``[B, H, W]`` (row, column), raw counts.
        min_px: smallest allowed H and W, pixels.

    Returns:
        the same frames, float32 ``[B, H, W]``, raw counts: at least one, large enough, and finite.
    """
    # Servers pass on whatever a client sends, so the input's declared shape must be checked again in the graph.
    shape = tf.shape(tf.ensure_shape(frames, [None, None, None], name="frames_must_have_shape_batch_row_column"))
    checks = [
        tf.debugging.Assert(shape[0] > 0, [f"{FRAMES_MESSAGE}, got no frame: batch is 0"]),
        tf.debugging.Assert(
            tf.reduce_min(shape[1:]) >= min_px,
            [f"{FRAMES_MESSAGE}, each side at least {min_px} pixels (half the receptive field), got shape", shape],
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.debugging.check_numerics(frames, f"{FRAMES_MESSAGE}, got pixels that are NaN or infinite")
