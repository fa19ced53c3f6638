"""Super-resolved pictures: accumulation, colours of depth, PNG, TIFF and turning GIF."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Picture": "picture",
    "Window": "window",
    "render_picture": "picture",
    "write_movie": "movie",
    "write_png": "png",
    "write_tiff": "tiff",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
