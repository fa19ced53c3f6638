"""Tables of molecules: columns, units, file formats, and the table that grows with a recording."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "GrowingTable": "growing",
    "from_table": "tables",
    "read_table": "tables",
    "to_table": "tables",
    "write_table": "tables",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
