"""How large the tiles of a frame may be."""

from __future__ import annotations

import math
from typing import Any

SMALLEST_TILE_PX = 8
# Frames of at most so many pixels together are localized in one step: memory grows with them.
PIXELS_A_STEP = 2 * 121 * 121
MOST_FRAMES_A_STEP = 64
DEFAULT_MEMORY_GB = 4.0
# Measured: TensorFlow (and JAX, which Keras loads where it is installed), the model, reading and finding peaks.
BYTES_OF_THE_PROCESS = 1.1e9
# Images of one channel a depth voxel, at voxel resolution, that the network holds at a time.
_LIVE_IMAGES = 3


def frames_a_step(shape: tuple[int, int]) -> int:
    """Return how many frames of ``shape`` (H, W) in pixels are best localized in one step."""
    return min(max(PIXELS_A_STEP // max(shape[0] * shape[1], 1), 1), MOST_FRAMES_A_STEP)


def bytes_per_pixel(setup: Any, precision: str = "float32") -> int:
    """Return the memory, bytes, that a model of ``setup`` takes for each pixel localized at a time."""
    from ds3d_tf.simulation.voxel_grid import VOXELS_PER_PIXEL

    channels = max(setup.volume.depth_voxels, setup.learning.filters)
    return _LIVE_IMAGES * VOXELS_PER_PIXEL**2 * channels * (2 if precision == "bfloat16" else 4)


def pixels_within(memory_gb: float, setup: Any, precision: str = "float32") -> int:
    """Return how many pixels a process of ``memory_gb`` GB can localize at a time with a model of ``setup``."""
    pixels = (memory_gb * 1e9 - BYTES_OF_THE_PROCESS) / bytes_per_pixel(setup, precision)
    return math.floor(min(pixels, 2**40))


def halo(reach_px: int, radius_voxels: int) -> int:
    """Return how many pixels around a tile must be computed with it."""
    from ds3d_tf.simulation.voxel_grid import VOXELS_PER_PIXEL

    return reach_px + -(-radius_voxels // VOXELS_PER_PIXEL)


def tile_size(frame_shape: tuple[int, int], halo_px: int, most_pixels: int) -> tuple[int, int] | None:
    """Return the size (rows, columns) of the tiles that cost least, in pixels.

    Args:
        frame_shape: ``(H, W)``, pixels.
        halo_px: pixels around a tile that are computed with it, as far as the frame reaches.
        most_pixels: pixels that tile and halo may have together.

    Returns:
        rows and columns without the halo, or None if not even small tiles fit.
    """
    best: tuple[int, int, int] | None = None
    height, width = frame_shape
    for down in range(1, max(height // SMALLEST_TILE_PX, 1) + 1):
        rows = math.ceil(height / down)
        tall = _with_halo(height, rows, halo_px)
        # As few columns of tiles as fit for this number of rows of tiles.
        for across in range(1, max(width // SMALLEST_TILE_PX, 1) + 1):
            columns = math.ceil(width / across)
            wide = _with_halo(width, columns, halo_px)
            if max(tall) * max(wide) <= most_pixels:
                cost = sum(tall) * sum(wide)
                if best is None or cost < best[0]:
                    best = cost, rows, columns
                break
    return best and best[1:]


def _with_halo(size: int, step: int, halo: int) -> list[int]:
    """Return the sizes of the tiles along one axis, halo included."""
    return [min(start + step + halo, size) - max(start - halo, 0) for start in range(0, size, step)]
