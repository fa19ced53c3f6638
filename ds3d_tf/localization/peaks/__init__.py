"""Peaks of the network's output, in whole frames and in tiles."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "find_peaks": "peaks",
    "localize_in_tiles": "tiled_peaks",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
