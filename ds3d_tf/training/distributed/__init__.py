"""Training on all devices of a machine, or of several machines."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Devices": "devices",
    "Workers": "workers",
    "open_devices": "devices",
    "read_workers": "workers",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
