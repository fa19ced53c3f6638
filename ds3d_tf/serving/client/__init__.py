"""Clients of a prediction server, over gRPC or REST."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Connection": "errors",
    "Refusal": "errors",
    "RemoteModel": "remote_model",
    "Retries": "connection",
    "open_connection": "connection",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
