"""What a setup's camera makes of light: photoelectrons, EM gain, read noise, counts."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup.camera import Camera
from ds3d_tf.setup.camera_section import MAP_FIELDS
from ds3d_tf.simulation.random_numbers import poisson, standard_normal
from ds3d_tf.simulation.seeds import derived_seed


def camera_counts(camera: Camera, photons: tf.Tensor, shot_seed: tf.Tensor, read_seed: tf.Tensor) -> tf.Tensor:
    """Return the counts that a camera makes of expected photons, at least 0 unless its offset is negative.

    Photoelectrons are Poisson distributed; an EM register makes of n of them a Gamma distributed number of shape n and
    scale ``em_gain``. Where the maps are larger than the frames, every frame has its own random part of them.

    Args:
        camera: the ``Camera``.
        photons: float32 ``[B, H, W]``, expected photons a pixel, of static shape.
        shot_seed: int64 ``[2]``, no unit, of photoelectrons and amplification.
        read_seed: int64 ``[2]``, no unit, of read noise and place on the maps.

    Returns:
        float32 ``[B, H, W]``, counts.

    Raises InputError if the frames are larger than the camera's maps.
    """
    offset, gain, read_noise = _planes(camera, photons.shape, derived_seed(read_seed, 0))
    electrons = poisson(camera.quantum_efficiency * photons + camera.spurious_electrons, shot_seed)
    if camera.em_gain > 1:
        shape = tf.maximum(electrons, 1.0)
        amplified = tf.random.stateless_gamma(tf.shape(shape), derived_seed(shot_seed, 0), shape)
        electrons = tf.where(electrons > 0, camera.em_gain * amplified, 0.0)
    electrons += read_noise * standard_normal(tf.shape(photons), derived_seed(read_seed, 1))
    counts = offset + gain * electrons
    # An offset below 0 is that of a recording less more than its offset, whose counts have a sign.
    return counts if np.min(camera.offset_counts) < 0 else tf.maximum(counts, 0.0)


def counts_per_photon(camera: Camera) -> float:
    """Return the mean counts that a photon adds; the median over the good pixels of a map."""
    return float(camera.typical().counts_per_photoelectron * camera.quantum_efficiency)


def camera_parts(
    camera: Camera, background: tf.Tensor, normal: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return what an ``ImagingLayer`` needs of a camera, which must let gradients pass.

    With expected photons I, the frame is ``counts_per_photon · (I + √I · shot noise) + dark counts``.

    Args:
        camera: the ``Camera``; medians stand for its maps.
        background: float32 ``[B, H, W]``, photons.
        normal: float32 ``[B, H, W]``, standard normal numbers, no unit.
        seed: int64 ``[2]``, no unit, of the read noise.

    Returns:
        background float32 ``[B, H, W]``, photons, with spurious charge; shot noise float32 ``[B, H, W]``, no unit; dark
        counts float32 ``[B, H, W]``, offset and read noise, counts.
    """
    camera = camera.typical()
    efficiency = camera.quantum_efficiency
    read_noise = camera.counts_per_electron * camera.read_noise_electrons
    dark = camera.offset_counts + read_noise * standard_normal(tf.shape(background), seed)
    return (
        background + camera.spurious_electrons / efficiency,
        normal * (camera.excess / efficiency) ** 0.5,
        tf.ensure_shape(dark, background.shape),
    )


def _planes(camera: Camera, shape: tf.TensorShape, seed: tf.Tensor) -> list[tf.Tensor]:
    """Return offset, counts per electron and read noise, each of a shape that goes with ``[B, H, W]``."""
    values = [tf.constant(getattr(camera, name), tf.float32) for name in MAP_FIELDS]
    whole = camera.maps_shape
    if whole is None:
        return values
    frames, height, width = shape
    if whole[0] < height or whole[1] < width:
        raise InputError(
            f"camera: maps of {whole[0]}×{whole[1]} pixels are smaller than simulated frames of {height}×{width}; "
            "use larger maps or smaller volume.height_px and volume.width_px"
        )
    if whole == (height, width):
        return values
    stacked = tf.stack([tf.broadcast_to(value, whole) for value in values], axis=-1)
    places = tf.constant([whole[0] - height + 1, whole[1] - width + 1], tf.float32)
    corners = tf.cast(tf.floor(tf.random.stateless_uniform([frames, 2], seed) * places), tf.int32)
    parts = tf.stack([tf.slice(stacked, [*tf.unstack(corners[i]), 0], [height, width, 3]) for i in range(frames)])
    return tf.unstack(parts, axis=-1)
