"""From beads and raw recordings to a setup: phase retrieval, prepared frames, noise and signal."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "NoiseEstimate": "noise.noise_estimate",
    "RetrievalOptions": "retrieval.options",
    "RetrievedMask": "retrieval.options",
    "minimum_projection": "preparation",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
