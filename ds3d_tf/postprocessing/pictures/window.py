"""The part of the sample that a picture shows, and the direction from which it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ds3d_tf.common.errors import InputError, argument

# Direction → axes of the columns, of the rows, and along the line of sight.
AXES = {"xy": (0, 1, 2), "xz": (0, 2, 1), "zy": (2, 1, 0)}
MAX_PIXELS = 300_000_000
MAX_SIDE_PX = 200_000


@dataclass(frozen=True)
class Window:
    """A rectangle of the sample as pixels of a picture.

    Attributes:
        left_nm: coordinate of the left edge of the first column, nm.
        top_nm: coordinate of the upper edge of the first row, nm.
        pixel_nm: pixel of the picture, nm.
        shape: (rows, columns), pixels.
        axes: axes (0 x, 1 y, 2 z) of columns, rows and line of sight.
    """

    left_nm: float
    top_nm: float
    pixel_nm: float
    shape: tuple[int, int]
    axes: tuple[int, int, int]

    def to_pixels(self, xyz_nm: np.ndarray) -> np.ndarray:
        """Return where positions are in the picture: the centre of its first pixel is (0.5, 0.5).

        Args:
            xyz_nm: float ``[N, 3]`` (x, y, z), nm.

        Returns:
            float64 ``[N, 2]`` (column, row), pixels.
        """
        plane = np.asarray(xyz_nm, np.float64)[:, list(self.axes[:2])]
        return (plane - (self.left_nm, self.top_nm)) / self.pixel_nm


def window_around(
    xyz_nm: np.ndarray,
    axes: tuple[int, int, int],
    pixel_nm: float,
    *,
    margin_nm: float | tuple[float, float] = 0.0,
    frame_nm: tuple[float, float] | None = None,
) -> Window:
    """Return the window of whole pixels that holds all molecules.

    Args:
        xyz_nm: float ``[N, 3]`` (x, y, z), nm.
        axes: axes of columns, rows and line of sight.
        pixel_nm: pixel of the picture, nm.
        margin_nm: space to leave around the molecules, along columns and rows, nm.
        frame_nm: width and height of the recording's frame, nm: the window then shows all of it, too.

    Raises InputError for a picture of more pixels than fit in memory.
    """
    plane = xyz_nm[:, list(axes[:2])]
    low, high = plane.min(axis=0) - np.asarray(margin_nm), plane.max(axis=0) + np.asarray(margin_nm)
    if frame_nm is not None:
        size = np.array([*frame_nm, np.nan])[list(axes[:2])]
        low = np.where(np.isfinite(size), np.minimum(low, 0.0), low)
        high = np.where(np.isfinite(size), np.fmax(high, size), high)
    first = np.floor(low / pixel_nm)
    counts = (np.floor(high / pixel_nm) - first + 1).astype(np.int64)
    if frame_nm is not None:
        # A frame's last edge is no molecule: its pixel is not needed.
        whole = np.isfinite(size) & (high == size) & (np.isclose(size / pixel_nm, np.rint(size / pixel_nm)))
        counts = counts - whole
    check_size(int(counts[0]), int(counts[1]), pixel_nm)
    left, top = first * pixel_nm
    return Window(float(left), float(top), float(pixel_nm), (int(counts[1]), int(counts[0])), axes)


def check_size(columns: int, rows: int, pixel_nm: float, slices: int = 1) -> None:
    """Raise InputError if a picture, or a stack of slices, of so many pixels is too large."""
    too_large = max(np.sqrt(columns * rows * slices / MAX_PIXELS), max(columns, rows) / MAX_SIDE_PX)
    if too_large > 1:
        raise InputError(
            f"{argument('pixel_nm')} {pixel_nm:g}: the picture would have {columns}×{rows} pixels "
            f"({columns * pixel_nm / 1000:.0f}×{rows * pixel_nm / 1000:.0f} µm){f', {slices} times' * (slices > 1)}; "
            f"choose larger pixels, {pixel_nm * too_large:.3g} nm or more, or a part of the sample"
        )
