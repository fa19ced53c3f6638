"""Recordings as sequences of frames: TIFF, Zarr, NumPy arrays, folders and globs of them."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "FrameBatch": "read_ahead",
    "FrameReader": "source",
    "FrameSource": "source",
    "open_frames": "source",
    "read_ahead": "read_ahead",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
