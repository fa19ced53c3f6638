"""Joint maximum likelihood: every emitter of a frame with photons and uncertainty, on the optics' own images."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "CameraNoise": "noise",
    "ImageModel": "images",
    "RefineOptions": "options",
    "RefinedLocalizations": "refined",
    "image_model": "images",
    "refine": "frames",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
