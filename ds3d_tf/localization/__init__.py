"""From frames to a table of molecules: peaks, frame stacks, tables."""

from ds3d_tf.localization.frames.source import FrameSource, open_frames
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.localization.tables.tables import from_table, read_table, to_table, write_table

__all__ = ["FrameSource", "Localizer", "from_table", "open_frames", "read_table", "to_table", "write_table"]
