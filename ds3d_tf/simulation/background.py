"""Light that comes from no emitter: uniform, or a random super-Gaussian."""

from __future__ import annotations

import tensorflow as tf

from ds3d_tf.setup.sections import BackgroundSection
from ds3d_tf.simulation.seeds import derived_seed

_FAINTEST = 1e-6


def background(section: BackgroundSection, batch: int, frame_shape: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Return the expected background of each frame.

    Args:
        section: the setup's background section.
        batch: B, number of frames.
        frame_shape: (H, W), pixels.
        seed: int64 ``[2]``, no unit.

    Returns:
        float32 ``[B, H, W]`` (``[1, 1, 1]`` for a uniform background), counts.
    """
    if section.kind == "uniform":
        return tf.fill([1, 1, 1], section.level)
    shape = super_gaussian(section, batch, frame_shape, derived_seed(seed, 0))
    valley, peak = section.valley_peak
    lowest = tf.random.stateless_uniform([batch, 1, 1], derived_seed(seed, 1), valley, 1.5 * valley)
    highest = tf.random.stateless_uniform([batch, 1, 1], derived_seed(seed, 2), peak, 1.5 * peak)
    return lowest + (highest - lowest) * shape


def super_gaussian(section: BackgroundSection, batch: int, frame_shape: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Return random flat-topped shapes exp(-q²), q a rotated quadratic form, stretched to [0, 1].

    The centre lies within ± ``section.max_offset_px`` of the frame's, the widths are a fifth to two fifths of the
    frame, the angle is in ``section.angle_range_rad`` (Nehme et al., Nature Methods 2020).

    Args:
        section: the setup's background section.
        batch: B, number of shapes.
        frame_shape: (H, W), pixels.
        seed: int64 ``[2]``, no unit.

    Returns:
        float32 ``[B, H, W]``, from 0 to 1, no unit.
    """
    height, width = frame_shape
    draws = tf.random.stateless_uniform([5, batch, 1, 1], seed)

    def between(place: int, low: float, high: float) -> tf.Tensor:
        return low + (high - low) * draws[place]

    offset_x, offset_y = section.max_offset_px
    dx = tf.range(width, dtype=tf.float32) - (width - 1) / 2 - between(0, -offset_x, offset_x)
    dy = tf.range(height, dtype=tf.float32)[:, None] - (height - 1) / 2 - between(1, -offset_y, offset_y)
    inverse_x = 1 / (2 * between(2, width / 5, 2 * width / 5) ** 2)
    inverse_y = 1 / (2 * between(3, height / 5, 2 * height / 5) ** 2)
    angle = between(4, *section.angle_range_rad)
    cos2, sin2 = tf.cos(angle) ** 2, tf.sin(angle) ** 2
    a = cos2 * inverse_x + sin2 * inverse_y
    b = tf.sin(2 * angle) / 2 * (inverse_y - inverse_x)
    c = sin2 * inverse_x + cos2 * inverse_y
    # The form is a sum of products of a row's and a column's terms: one small matrix product.
    form = tf.matmul(
        tf.concat([c * dy**2, 2 * b * dy, tf.ones_like(dy)], axis=2),
        tf.concat([tf.ones_like(dx), dx, a * dx**2], axis=1),
    )
    shape = tf.exp(-tf.square(form))
    highest = tf.reduce_max(shape, axis=[1, 2], keepdims=True)
    shape = tf.where(shape < _FAINTEST * highest, 0.0, shape)
    lowest = tf.reduce_min(shape, axis=[1, 2], keepdims=True)
    return (shape - lowest) / (highest - lowest)
