"""The fast renderer where it is good enough, the exact one where it is not."""

from __future__ import annotations

import logging
from functools import lru_cache

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.optics.rendering.exact import ExactRenderer
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.rendering.fast import FastRenderer
from ds3d_tf.setup.sections import OpticsSection, VolumeSection

_LOG = logging.getLogger(__name__)


def fast_or_exact_renderer(
    optics: OpticsSection, volume: VolumeSection, mask: np.ndarray, sigma_range_px: tuple[float, float]
) -> FastRenderer | ExactRenderer:
    """Return a fast renderer for emitters within a volume's margin, or the exact one (logged) if it refuses.

    The last few are kept, so asking again for the same costs nothing.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section (frame size, margin, depth range, focus).
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x).
        sigma_range_px: smallest and largest blur, camera pixels.

    Raises InputError if the mask does not fit the optics.
    """
    mask = np.ascontiguousarray(mask, np.float64)
    return _cached(optics, volume, mask.tobytes(), mask.shape, tuple(sigma_range_px))


@lru_cache(maxsize=4)
def _cached(
    optics: OpticsSection,
    volume: VolumeSection,
    mask_bytes: bytes,
    mask_shape: tuple[int, int],
    sigma_range_px: tuple[float, float],
) -> FastRenderer | ExactRenderer:
    mask = np.frombuffer(mask_bytes).reshape(mask_shape)
    exact = exact_renderer(optics, volume, mask)
    try:
        return FastRenderer(optics, volume, mask, sigma_range_px, margin_px=volume.margin_px)
    except InputError as reason:
        _LOG.warning("simulating with the exact renderer: %s", reason)
        return exact
