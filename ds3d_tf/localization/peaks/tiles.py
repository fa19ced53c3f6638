"""How large the tiles of a frame may be."""

from __future__ import annotations

import math
from typing import Any

from ds3d_tf.options.shared import DEFAULT_MEMORY_GB
from ds3d_tf.setup import Setup

__all__ = ["DEFAULT_MEMORY_GB", "bytes_per_pixel", "frames_a_step", "pixels_within", "tile_overlap_px", "tile_size"]

MIN_TILE_PX = 8
# At most this many pixels are localized in one step, in one frame or several: memory grows with them.
PIXELS_A_STEP = 2 * 121 * 121
MAX_FRAMES_A_STEP = 64
# Measured: TensorFlow (and JAX, which Keras loads if it is installed), the model, reading frames and finding peaks.
BYTES_OF_THE_PROCESS = 1.1e9
# Number of images, with one channel per depth voxel and at voxel resolution, that the network holds at a time.
_LIVE_IMAGES = 3
# Number of images at camera resolution, with one channel per filter, that the pixel network holds at a time.
_PIXEL_NETWORK_IMAGES = 12


def frames_a_step(shape: tuple[int, int]) -> int:
    """Return how many frames of ``shape`` (H, W) in pixels are best localized in one step."""
    return min(max(PIXELS_A_STEP // max(shape[0] * shape[1], 1), 1), MAX_FRAMES_A_STEP)


def bytes_per_pixel(setup: Setup, precision: str = "float32") -> int:
    """Return the memory, bytes, that a model of ``setup`` takes for each pixel localized at a time."""
    if setup.learning.network == "pixel":
        return _PIXEL_NETWORK_IMAGES * setup.learning.filters * 4
    channels = max(setup.volume.depth_voxels, setup.learning.filters)
    return _LIVE_IMAGES * setup.volume.lateral_voxels**2 * channels * (2 if precision == "bfloat16" else 4)


def pixels_within(memory_gb: float, setup: Setup, precision: str = "float32") -> int:
    """Return how many pixels a process of ``memory_gb`` GB can localize at a time with a model of ``setup``."""
    pixels = (memory_gb * 1e9 - BYTES_OF_THE_PROCESS) / bytes_per_pixel(setup, precision)
    return math.floor(min(pixels, 2**40))


def tile_overlap_px(receptive_radius_px: Any, radius_voxels: Any, voxels_per_pixel: int = 4) -> Any:
    """Return how many pixels around a tile must be computed with it: receptive field and a peak's neighbourhood.

    Takes numbers, or scalar tensors inside a graph; ``voxels_per_pixel`` is the number along a side of a pixel.
    """
    return receptive_radius_px + -(-radius_voxels // voxels_per_pixel)


def tile_size(frame_shape: tuple[int, int], overlap_px: int, max_pixels: int) -> tuple[int, int] | None:
    """Return the size (rows, columns) of the tiles with the smallest total number of pixels to compute.

    Args:
        frame_shape: ``(H, W)``, pixels.
        overlap_px: pixels around a tile, inside the frame, that are computed with it.
        max_pixels: pixels that tile and overlap may have together.

    Returns:
        rows and columns without the overlap, or None if not even small tiles fit.
    """
    best: tuple[int, int, int] | None = None
    height, width = frame_shape
    for down in range(1, max(height // MIN_TILE_PX, 1) + 1):
        rows = math.ceil(height / down)
        tall = _with_overlap(height, rows, overlap_px)
        # As few columns of tiles as fit for this number of rows of tiles.
        for across in range(1, max(width // MIN_TILE_PX, 1) + 1):
            columns = math.ceil(width / across)
            wide = _with_overlap(width, columns, overlap_px)
            if max(tall) * max(wide) <= max_pixels:
                cost = sum(tall) * sum(wide)
                if best is None or cost < best[0]:
                    best = cost, rows, columns
                break
    return best and best[1:]


def _with_overlap(size: int, step: int, overlap: int) -> list[int]:
    """Return the sizes of the tiles along one axis, overlap included."""
    return [min(start + step + overlap, size) - max(start - overlap, 0) for start in range(0, size, step)]
