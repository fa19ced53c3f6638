"""A prediction server that speaks TensorFlow Serving's gRPC and REST."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "ServedModels": "served_models",
    "start_grpc": "grpc_server",
    "start_rest": "rest_server",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
