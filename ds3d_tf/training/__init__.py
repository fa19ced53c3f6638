"""Fit, callbacks, checkpoints."""

from ds3d_tf.training.compiling import compile_network
from ds3d_tf.training.examples import Examples, examples
from ds3d_tf.training.fit import Outcome, fit

__all__ = ["Examples", "Outcome", "compile_network", "examples", "fit"]
