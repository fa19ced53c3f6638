"""Renderers: exact (scalar), vectorial and fast, and the two choices between them."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "ExactRenderer": "exact",
    "FastRenderer": "fast",
    "PsfBasis": "psf_basis",
    "VectorialRenderer": "vectorial",
    "exact_renderer": "exact_or_vectorial",
    "fast_or_exact_renderer": "fast_or_exact",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
