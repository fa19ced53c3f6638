"""The typed, validated description of one experiment."""

from ds3d_tf.setup.loading import load_setup, preset_names
from ds3d_tf.setup.setup import Setup

__all__ = ["Setup", "load_setup", "preset_names"]
