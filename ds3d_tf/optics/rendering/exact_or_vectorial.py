"""The exact renderer that a setup asks for."""

from __future__ import annotations

import numpy as np

from ds3d_tf.optics.rendering.exact import ExactRenderer
from ds3d_tf.setup.sections import OpticsSection, VolumeSection


def exact_renderer(
    optics: OpticsSection,
    volume: VolumeSection,
    mask: np.ndarray,
    *,
    dtype: str = "float32",
    spacing_px: tuple[float, float] = (1.0, 1.0),
) -> ExactRenderer:
    """Return the renderer of ``optics.model``: scalar or vectorial.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section (frame size, depth range, focus).
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x).
        dtype: "float32", or "float64" for references.
        spacing_px: distance between the image's rows, and between its columns, camera pixels (see
            :class:`ExactRenderer`).

    Raises InputError if the mask does not fit the optics.
    """
    if optics.model == "vectorial":
        from ds3d_tf.optics.rendering.vectorial import VectorialRenderer

        return VectorialRenderer(optics, volume, mask, dtype=dtype, spacing_px=spacing_px)
    return ExactRenderer(optics, volume, mask, dtype=dtype, spacing_px=spacing_px)
