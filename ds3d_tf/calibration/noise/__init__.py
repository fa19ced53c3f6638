"""Noise and signal of a recording, estimated from its frames."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "NoiseEstimate": "noise_estimate",
    "SignalEstimate": "signal_estimate",
    "estimate_signal": "signal_estimate",
    "photon_transfer": "camera_estimate",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
