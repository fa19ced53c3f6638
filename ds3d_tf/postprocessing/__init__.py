"""From molecules to the picture: tables, drift, grouping, filtering, rendering, quality."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Molecules": "molecules.molecules",
    "read_molecules": "molecules.reading",
    "write_molecules": "molecules.writing",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
