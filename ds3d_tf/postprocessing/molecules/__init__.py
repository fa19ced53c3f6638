"""Tables of molecules of this and other programs, as one noun with known columns and units."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Molecules": "molecules",
    "read_molecules": "reading",
    "write_molecules": "writing",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
