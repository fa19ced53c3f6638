"""How large the tiles of a frame may be."""

from __future__ import annotations

import math

SMALLEST_TILE_PX = 8


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
