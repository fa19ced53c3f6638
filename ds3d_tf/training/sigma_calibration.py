"""Honest uncertainties: factors that make a pixel network's standard deviations those of its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ds3d_tf.evaluation.matching import match
from ds3d_tf.localization.in_memory import network_measurer
from ds3d_tf.model.pixel_net import PixelNet
from ds3d_tf.setup import Setup

# Fewer matched emitters than this say nothing about the spread of errors.
MIN_PAIRS = 50


def calibrated(model: PixelNet, setup: Setup, batches: tf.data.Dataset, frames: int | None = None) -> PixelNet:
    """Return the network with its four standard deviations scaled to the spread of its errors on validation frames.

    For x, y, z and photons each, the factor is the root mean square of error over standard deviation. With fewer than
    ``MIN_PAIRS`` emitters found, the network is returned as it is.

    Args:
        model: the network.
        setup: its ``Setup``.
        batches: (normalized frames float32 ``[B, H, W]`` (with context ``[B, H, W, 3]``), no unit; emitters float32
            ``[B, E, 6]``: µm, weight, photoelectrons, background).
        frames: number of frames to use, a count, rounded up to whole batches; None: all.
    """
    pulls = validation_pulls(model, setup, batches, frames)
    if len(pulls) < MIN_PAIRS:
        return model
    factors = np.array(model.maps.sigma_factors) * np.sqrt(np.mean(pulls**2, axis=0))
    scaled = PixelNet.from_config({**model.get_config(), "sigma_factors": factors.tolist()})
    scaled.set_weights(model.get_weights())
    return scaled


def validation_pulls(model: Any, setup: Setup, batches: tf.data.Dataset, frames: int | None = None) -> np.ndarray:
    """Return error over standard deviation of x, y, z and photons of all emitters found, float64 ``[P, 4]``, no unit.

    The arguments are those of :func:`calibrated`.
    """
    measure = network_measurer(model, setup)
    pulls, seen = [np.zeros((0, 4))], 0
    for normalized, emitters in batches:
        xyz_um, _, count, details = (value.numpy().astype(np.float64) for value in measure(normalized))
        for frame, rows in enumerate(emitters.numpy().astype(np.float64)):
            own = slice(int(count[frame]))
            truth = rows[rows[:, 3] > 0]
            found, told = xyz_um[frame, own], details[frame, own]
            first, second = match(truth[:, :3], found)
            error = np.column_stack([found[second] - truth[first, :3], told[second, 0] - truth[first, 4]])
            pulls.append(error / told[second][:, [2, 3, 4, 5]])
        seen += len(normalized)
        if frames is not None and seen >= frames:
            break
    return np.concatenate(pulls)
