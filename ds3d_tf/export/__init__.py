"""Models in formats that run without this package."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "export_bioimageio": "bioimageio",
    "export_onnx": "onnx",
    "export_openvino": "openvino",
    "export_saved_model": "saved_model",
    "export_tflite": "tflite",
    "write_card": "card",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
