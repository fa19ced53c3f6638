"""From frames to a table of molecules: frame readers, engines, peaks, tables."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "FrameSource": "frames.source",
    "Localizer": "localizer",
    "from_table": "tables.tables",
    "open_frames": "frames.source",
    "read_table": "tables.tables",
    "to_table": "tables.tables",
    "write_table": "tables.tables",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
