"""Parts of simulated frames: a training step sees many small ones rather than few large ones."""

from __future__ import annotations

import tensorflow as tf


def random_crops(
    frames: tf.Tensor, emitters: tf.Tensor, side_px: int, pixel_um: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a random square of each frame, and its emitters.

    Every corner that leaves the square inside the frame is as likely as any other. Emitters outside the square stay in
    the image, as far as their light reaches into it, and lose their labels.

    Args:
        frames: float32 ``[B, H, W]`` or ``[B, H, W, C]``, normalized frames.
        emitters: float32 ``[B, E, 4]`` or more columns: x, y, z in µm, label weight.
        side_px: side of the square, pixels, at most H and W.
        pixel_um: camera pixel in the sample, µm.
        seed: int64 ``[2]``, no unit.

    Returns:
        float32 ``[B, side_px, side_px]`` (or with C), normalized frames, and the emitters, x = y = 0 being the centre
        of pixel ``(side_px // 2, side_px // 2)`` of the square, µm.
    """
    shape = tf.shape(frames)
    room = tf.cast(shape[1:3] - side_px + 1, tf.float32)
    corners = tf.cast(tf.floor(room * tf.random.stateless_uniform([shape[0], 2], seed)), tf.int32)
    inside = tf.range(side_px)
    rows, columns = (corners[:, axis, None] + inside for axis in (0, 1))
    places = tf.stack(
        [tf.broadcast_to(rows[:, :, None], [shape[0], side_px, side_px]),
         tf.broadcast_to(columns[:, None, :], [shape[0], side_px, side_px])],
        axis=-1,
    )  # fmt: skip
    # The centre moves from the frame's to the square's.
    moved = tf.cast(corners + side_px // 2 - shape[1:3] // 2, tf.float32) * pixel_um
    x, y = emitters[..., 0] - moved[:, 1:], emitters[..., 1] - moved[:, :1]
    left, right = -(side_px // 2 + 0.5) * pixel_um, (side_px - side_px // 2 - 0.5) * pixel_um
    own = (x >= left) & (x < right) & (y >= left) & (y < right)
    weight = tf.where(own, emitters[..., 3], 0.0)
    moved_emitters = tf.concat([tf.stack([x, y, emitters[..., 2], weight], axis=-1), emitters[..., 4:]], axis=-1)
    return tf.gather_nd(frames, places, batch_dims=1), moved_emitters
