"""Light from an emitter to the camera: pupil, phase masks, renderers, Cramér–Rao bounds, mask design."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "ExactRenderer": "rendering.exact",
    "FastRenderer": "rendering.fast",
    "LocalizationBound": "crlb",
    "VectorialRenderer": "rendering.vectorial",
    "built_in_names": "masks",
    "exact_renderer": "rendering.exact_or_vectorial",
    "fast_or_exact_renderer": "rendering.fast_or_exact",
    "load_mask": "masks",
    "localization_bound": "crlb",
    "read_mask": "masks",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
