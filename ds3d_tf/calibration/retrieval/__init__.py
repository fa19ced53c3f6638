"""Phase retrieval: from a bead's z-stack to the mask."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "BeadStack": "stack_files",
    "RetrievalOptions": "options",
    "RetrievedMask": "options",
    "read_bead_stack": "stack_files",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
