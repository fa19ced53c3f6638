"""A whole recording: its frames in batches, its table as it fills."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Finished": "batches",
    "LocalizedRecording": "fill",
    "Work": "batches",
    "fill_table": "fill",
    "localized_by_dask": "batches",
    "localized_here": "batches",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
