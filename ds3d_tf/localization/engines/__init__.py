"""Engines that run a model file: SavedModel, TFLite, ONNX, OpenVINO."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Engine": "engine",
    "NetworkEngine": "network",
    "NetworkFile": "network_file",
    "SavedModelEngine": "saved_model",
    "find_saved_model": "saved_model",
    "open_engine": "engine",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
