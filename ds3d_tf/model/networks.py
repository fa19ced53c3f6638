"""The network that a setup asks for."""

from __future__ import annotations

from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.model.pixel_net import PixelNet
from ds3d_tf.setup import Setup


def network_from_setup(setup: Setup) -> LocalizationNet | PixelNet:
    """Return a fresh network of the kind, size, precision and seed of a ``Setup``."""
    return PixelNet.from_setup(setup) if setup.learning.network == "pixel" else LocalizationNet.from_setup(setup)
