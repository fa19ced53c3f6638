"""Timings of the parts, beside yardsticks taken in the same run."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Sizes": "timing",
    "Timing": "timing",
    "median_seconds": "timing",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
