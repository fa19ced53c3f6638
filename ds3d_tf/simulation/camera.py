"""What the camera adds: shot noise for learning a mask, read noise, the clip at zero of cameras without a sign."""

from __future__ import annotations

import tensorflow as tf

from ds3d_tf.setup.sections import BackgroundSection, ReadNoiseSection
from ds3d_tf.simulation.background import super_gaussian
from ds3d_tf.simulation.random_numbers import standard_normal
from ds3d_tf.simulation.seeds import derived_seed


def differentiable_shot_noise(expected: tf.Tensor, normal: tf.Tensor) -> tf.Tensor:
    """Return I + sqrt(I)·N(0, 1): shot noise through which gradients pass, for learning a mask.

    Args:
        expected: float32 ``[B, H, W]``, counts.
        normal: float32 ``[B, H, W]``, standard normal numbers, no unit.

    Returns:
        float32 ``[B, H, W]``, counts.
    """
    # sqrt has an infinite slope at 0, where a pixel has no noise anyway.
    return expected + tf.sqrt(tf.maximum(expected, 1e-6)) * normal


def read_noise(
    section: ReadNoiseSection, background_section: BackgroundSection, frames: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Return frames with baseline and read noise, clipped at 0 unless the baseline may be negative.

    Args:
        section: the setup's read noise section; kind "none" returns the frames as they are.
        background_section: the setup's background section (centre and angle of a super-Gaussian σ).
        frames: float32 ``[B, H, W]``, counts.
        seed: int64 ``[2]``, no unit.

    Returns:
        float32 ``[B, H, W]``, counts.
    """
    if section.kind == "none":
        return frames
    counts = frames + dark_counts(section, background_section, tf.shape(frames), frames.shape, seed)
    return counts if has_negative_counts(section) else tf.maximum(counts, 0.0)


def has_negative_counts(section: ReadNoiseSection) -> bool:
    """Return whether the setup's read noise is that of frames with a sign: of a recording less an offset."""
    return section.kind != "none" and section.baseline_range[0] < 0


def dark_counts(
    section: ReadNoiseSection,
    background_section: BackgroundSection,
    shape: tf.Tensor,
    static_shape: tf.TensorShape,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Return baseline and read noise alone, before the clip at 0.

    Args:
        section: the setup's read noise section, of any kind but "none".
        background_section: the setup's background section (centre and angle of a super-Gaussian σ).
        shape: int ``[3]``: B, H, W in frames and pixels.
        static_shape: the same as far as it is known when the graph is made.
        seed: int64 ``[2]``, no unit.

    Returns:
        float32 ``[B, H, W]``, counts.
    """
    batch = shape[0]
    low, high = section.sigma_range
    if section.kind == "uniform":
        sigma = low + (high - low) * tf.random.stateless_uniform([batch, 1, 1], derived_seed(seed, 0))
    else:
        frame_shape = (static_shape[1], static_shape[2])
        sigma = low + (high - low) * super_gaussian(background_section, batch, frame_shape, derived_seed(seed, 0))
    lowest, highest = section.baseline_range
    baseline = lowest + (highest - lowest) * tf.random.stateless_uniform([batch, 1, 1], derived_seed(seed, 1))
    return baseline + sigma * standard_normal(shape, derived_seed(seed, 2))
