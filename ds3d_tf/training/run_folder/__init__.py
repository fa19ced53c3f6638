"""A run folder: its setup, where the run starts from, and how it is resumed."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "prepare_network": "starting_point",
    "resumed_examples": "resumed_examples",
    "resumed_run": "resumed",
    "train_setup": "run_setup",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
