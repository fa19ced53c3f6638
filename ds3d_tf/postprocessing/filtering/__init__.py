"""Which molecules to keep."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Rule": "rules",
    "keep_by_rule": "rules",
    "parse_rule": "rules",
    "count_neighbours": "places",
    "inside_border": "places",
    "inside_region": "places",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
