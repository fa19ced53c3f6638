"""Keras callbacks of a training run: checkpoints, the best network, history, curves, progress."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Checkpoint": "checkpoint",
    "Checkpointer": "checkpoint",
    "KeepBest": "best",
    "TensorBoardLog": "tensorboard",
    "read_checkpoint": "checkpoint",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
