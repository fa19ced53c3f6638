"""One molecule over consecutive frames becomes one row."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Grouped": "group",
    "group_molecules": "group",
    "link": "linking",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
