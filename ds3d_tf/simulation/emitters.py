"""Where emitters are, how bright they are, and which of them a network should find."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ds3d_tf.setup import Setup
from ds3d_tf.setup.sections import SignalSection
from ds3d_tf.simulation.pixel_grid import PixelGrid, electrons_per_photon
from ds3d_tf.simulation.seeds import derived_seed
from ds3d_tf.simulation.voxel_grid import VoxelGrid


class Emitters(NamedTuple):
    """Emitters of a batch of frames, padded with zeros to one number E.

    Attributes:
        xyz_um: float32 ``[B, E, 3]`` (x, y, z), µm; x = y = 0 is the centre of pixel (H // 2, W // 2).
        photons: float32 ``[B, E]``, photons; 0 marks padding.
        blur_sigma_px: float32 ``[B, E]``, standard deviation of the blur, camera pixels; 1 in the padding.
        labelled: bool ``[B, E]``, no unit; False for padding and for emitters too faint to be asked for.
    """

    xyz_um: tf.Tensor
    photons: tf.Tensor
    blur_sigma_px: tf.Tensor
    labelled: tf.Tensor

    def with_weights(self) -> tf.Tensor:
        """Return float32 ``[B, E, 4]``: x, y, z in µm, and 1 for labelled emitters, else 0."""
        weight = tf.cast(self.labelled, self.xyz_um.dtype)[..., None]
        return tf.concat([self.xyz_um, weight], axis=-1)


def most_emitters(setup: Setup, split: str) -> int:
    """Return E, the largest number of emitters in a frame of a split."""
    high = setup.emitters.count_range[1]
    return high // 2 if split == "validation" else high - 1


def sample_counts(setup: Setup, split: str, batch: int, seed: tf.Tensor) -> tf.Tensor:
    """Return the number of emitters in each frame: uniform in [low, high), and high // 2 for validation.

    Args:
        setup: the ``Setup``.
        split: "training", "validation" or "simulation".
        batch: number of frames.
        seed: int64 ``[2]``, no unit.

    Returns:
        int32 ``[batch]``, emitters.
    """
    low, high = setup.emitters.count_range
    if split == "validation":
        return tf.fill([batch], high // 2)
    return tf.random.stateless_uniform([batch], seed, minval=low, maxval=high, dtype=tf.int32)


def sample_emitters(setup: Setup, counts: tf.Tensor, most: int, seed: tf.Tensor) -> Emitters:
    """Return random emitters: uniform in the frame less its margin and in depth, photons and blur by the setup.

    Args:
        setup: the ``Setup``.
        counts: int32 ``[B]``, count of emitters in each frame, at most ``most``.
        most: E, the number of places in the padded lists.
        seed: int64 ``[2]``, no unit.

    Returns:
        Emitters of ``[B, E]`` places.
    """
    shape = tf.stack([tf.shape(counts)[0], most])
    present = tf.range(most)[None, :] < counts[:, None]
    photons = tf.where(present, _sample_photons(setup.signal, shape, derived_seed(seed, 0)), 0.0)
    low_um, high_um = _bounds_um(setup)
    xyz_um = low_um + (high_um - low_um) * tf.random.stateless_uniform(
        tf.concat([shape, [3]], 0), derived_seed(seed, 1)
    )
    low, high = setup.blur.sigma_range_px
    sigma = tf.random.stateless_uniform(shape, derived_seed(seed, 2), low, high) if high > low else tf.fill(shape, low)
    return Emitters(
        xyz_um=tf.where(present[..., None], xyz_um, 0.0),
        photons=photons,
        blur_sigma_px=tf.where(present, sigma, 1.0),
        labelled=present & _bright_enough(setup.signal, photons, counts),
    )


def light_labels(setup: Setup, emitters: Emitters, background: tf.Tensor) -> tf.Tensor:
    """Return what the pixel network learns of emitters.

    Args:
        setup: the ``Setup``.
        emitters: the emitters, ``[B, E]`` places.
        background: float32 ``[B, H, W]`` or ``[1, 1, 1]``, expected photons a pixel.

    Returns:
        float32 ``[B, E, 6]``: x, y, z in µm, 1 for labelled emitters, else 0, photons and the background in the
        emitter's pixel, both in photoelectrons.
    """
    shape = (setup.volume.height_px, setup.volume.width_px)
    frames = tf.shape(emitters.photons)[0]
    light = tf.broadcast_to(background, [frames, *shape])
    places = PixelGrid.from_setup(setup).places(emitters.xyz_um, shape)
    pixels = tf.cast(tf.floor(tf.reverse(places[..., :2], [-1]) + 0.5), tf.int32)
    pixels = tf.clip_by_value(pixels, 0, tf.constant(shape) - 1)
    own = tf.gather_nd(light, pixels, batch_dims=1)
    electrons = electrons_per_photon(setup) * tf.stack([emitters.photons, own], axis=-1)
    return tf.concat([emitters.with_weights(), electrons], axis=-1)


def _bounds_um(setup: Setup) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the lowest and highest (x, y, z) in µm: the pixels that are the margin or more from the border."""
    volume, pixel_um = setup.volume, VoxelGrid.from_setup(setup).pixel_um
    low, high = [], []
    for size in (volume.width_px, volume.height_px):
        low.append((volume.margin_px - 0.5 - size // 2) * pixel_um)
        high.append((size - volume.margin_px - 0.5 - size // 2) * pixel_um)
    low.append(volume.z_min_um)
    high.append(volume.z_max_um)
    return tf.constant(low, tf.float32), tf.constant(high, tf.float32)


def _sample_photons(signal: SignalSection, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    if signal.distribution == "gamma":
        drawn = tf.random.stateless_gamma(shape, seed, alpha=signal.gamma_shape, beta=1 / signal.gamma_scale)
        # A draw may underflow to 0, which would make the emitter padding.
        return tf.maximum(drawn, 1e-3)
    low, high = signal.uniform_range
    return low + (high - low) * tf.random.stateless_uniform(shape, seed)


def _bright_enough(signal: SignalSection, photons: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    if signal.distribution != "gamma" or signal.label_threshold is None:
        return tf.ones_like(photons, tf.bool)
    return (photons > signal.label_threshold) | (counts == 1)[:, None]
