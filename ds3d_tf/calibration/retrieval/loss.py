"""What phase retrieval minimizes: the misfit of a bead's images and the roughness of the phase."""

from __future__ import annotations

import tensorflow as tf

LIKELIHOODS = ("gaussian", "poisson")
_REWEIGHTINGS = 3
_SMALLEST_MEAN = 1e-2


def signal_and_background(
    images: tf.Tensor, slices: tf.Tensor, likelihood: str = "gaussian"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the likeliest photons and background of each slice, given the shape of its image.

    Args:
        images: float32 ``[K, H, W]``, model images of one photon.
        slices: float32 ``[K, H, W]``, measured, counts.
        likelihood: ``gaussian`` (least squares) or ``poisson`` (least squares, weighted again by the model's mean).

    Returns:
        float32 ``[K]`` signal, counts; float32 ``[K]`` background, counts a pixel.
    """
    signal, background = _weighted_fit(images, slices, tf.ones_like(images))
    if likelihood == "poisson":
        for _ in range(_REWEIGHTINGS):
            weights = 1 / _mean(images, signal, background)
            signal, background = _weighted_fit(images, slices, weights)
    return signal, background


def misfit(images: tf.Tensor, slices: tf.Tensor, likelihood: str) -> tf.Tensor:
    """Return -2 log likelihood a pixel, up to a constant, at the likeliest signal and background of each slice.

    ``gaussian``: white noise of a strength unknown in each slice, the log of the residual's mean square.
    ``poisson``: the deviance of photon counts, about 1 a pixel for a perfect model.

    Args:
        images: float32 ``[K, H, W]``, model images of one photon.
        slices: float32 ``[K, H, W]``, measured, counts (photons for ``poisson``).
        likelihood: ``gaussian`` or ``poisson``.

    Returns:
        float32 scalar, no unit.
    """
    signal, background = signal_and_background(images, slices, likelihood)
    if likelihood == "gaussian":
        residual = slices - signal[:, None, None] * images - background[:, None, None]
        return tf.reduce_mean(tf.math.log(tf.reduce_mean(tf.square(residual), axis=(1, 2))))
    mean = _mean(images, signal, background)
    from tensorflow_probability import distributions

    # In double precision: log likelihoods of thousands of photons differ in their last digits.
    counts = tf.maximum(tf.cast(slices, tf.float64), 0)
    perfect = distributions.Poisson(tf.maximum(counts, 1e-12)).log_prob(counts)
    gain = perfect - distributions.Poisson(tf.cast(mean, tf.float64)).log_prob(counts)
    return tf.cast(2 * tf.reduce_mean(gain), tf.float32)


def roughness(phase: tf.Tensor, inside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sums of squared first and second differences of a phase, blind to jumps by 2π.

    A difference d counts 2 (1 - cos d), which is d² where it is small.

    Args:
        phase: float32 ``[S, S]``, rad.
        inside: float32 ``[S, S]``, 1 where the phase matters, else 0, no unit.
    """

    def total(difference: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(2 * weight * (1 - tf.cos(difference)))

    first, second = tf.constant(0.0), tf.constant(0.0)
    for p, w in ((phase, inside), (tf.transpose(phase), tf.transpose(inside))):
        first += total(p[1:] - p[:-1], w[1:] * w[:-1])
        second += total(p[2:] - 2 * p[1:-1] + p[:-2], w[2:] * w[1:-1] * w[:-2])
    mixed = phase[1:, 1:] - phase[1:, :-1] - phase[:-1, 1:] + phase[:-1, :-1]
    second += 2 * total(mixed, inside[1:, 1:] * inside[1:, :-1] * inside[:-1, 1:] * inside[:-1, :-1])
    return first, second


def _mean(images: tf.Tensor, signal: tf.Tensor, background: tf.Tensor) -> tf.Tensor:
    return tf.maximum(signal[:, None, None] * images + background[:, None, None], _SMALLEST_MEAN)


def _weighted_fit(images: tf.Tensor, slices: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    total = tf.reduce_sum(weights, axis=(1, 2))
    image_mean = tf.reduce_sum(weights * images, axis=(1, 2)) / total
    slice_mean = tf.reduce_sum(weights * slices, axis=(1, 2)) / total
    centred = images - image_mean[:, None, None]
    signal = tf.reduce_sum(weights * centred * slices, axis=(1, 2)) / tf.reduce_sum(
        weights * tf.square(centred), axis=(1, 2)
    )
    signal = tf.nn.relu(signal)
    return signal, slice_mean - signal * image_mean
