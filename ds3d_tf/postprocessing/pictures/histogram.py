"""Pictures that count: each molecule is one in the pixel it is in."""

from __future__ import annotations

import numpy as np

AT_A_TIME = 1_000_000


def count_into(planes: np.ndarray, at_px: np.ndarray, weights: np.ndarray | None) -> None:
    """Add molecules to the pixels they are in; those outside the picture are left out.

    Args:
        planes: float32 ``[C, rows, columns]`` to add to: the number of molecules, then sums of the weights (no unit).
        at_px: float ``[N, 2]`` (column, row), pixels.
        weights: float32 ``[N, C - 1]``, no unit; None if there is one plane.
    """
    rows, columns = planes.shape[1:]
    flat = planes.reshape(len(planes), -1)
    cell = np.floor(at_px).astype(np.int64)
    inside = ((cell >= 0) & (cell < (columns, rows))).all(axis=1)
    index = cell[inside, 1] * columns + cell[inside, 0]
    np.add.at(flat[0], index, np.float32(1))
    if weights is not None:
        for channel in range(weights.shape[1]):
            np.add.at(flat[channel + 1], index, np.ascontiguousarray(weights[inside, channel]))
