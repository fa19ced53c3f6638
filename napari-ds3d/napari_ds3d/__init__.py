"""Tables of single molecules in napari."""

from napari_ds3d.reader import get_reader
from napari_ds3d.writer import write_points

__all__ = ["get_reader", "write_points"]
