"""A report as one HTML page that needs nothing else."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "FramePanel": "frames",
    "frame_panels": "frames",
    "make_page": "page_text",
    "picture_views": "views",
    "scatter_sample": "views",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
