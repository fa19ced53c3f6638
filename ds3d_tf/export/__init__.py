"""Models in formats that run without this package."""

import importlib
import sys
import types
from typing import Any

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


class _Room(types.ModuleType):
    """This room as a module that can be called: ``ds3d_tf.export(...)`` is the job, although both have one name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        # By its name only: the job stands above this room.
        return importlib.import_module("ds3d_tf.jobs.export").export(*arguments, **options)


sys.modules[__name__].__class__ = _Room
