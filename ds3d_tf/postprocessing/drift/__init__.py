"""Drift of the sample: measured from the molecules, from fiducials, or known; and its correction."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "DriftCurve": "curve",
    "drift_by_comet": "comet",
    "drift_by_correlation": "correlation",
    "drift_by_fiducials": "fiducials",
    "draw_drift": "figure",
    "read_drift": "curve",
    "write_drift": "curve",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
