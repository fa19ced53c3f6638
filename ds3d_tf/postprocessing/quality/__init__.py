"""How good a table of molecules is: precision, resolution, density, and what became of the recording over time."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Nena": "nena",
    "Quality": "measure",
    "RingCorrelation": "ring_correlation",
    "bleaching": "over_time",
    "grid_index": "grid",
    "measure_quality": "measure",
    "nearest_neighbour_precision": "nena",
    "ring_correlation": "ring_correlation",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
