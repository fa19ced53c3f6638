"""Whether positions prefer places within a camera pixel: the print of a grid."""

from __future__ import annotations

import numpy as np

_HARMONICS = 4  # down to a quarter of a pixel, a voxel of the network


def grid_index(x_nm: np.ndarray, pixel_nm: float) -> float:
    """Return how much positions along one axis gather at places within a pixel: 0 not at all, 1 all at one place.

    The largest of |⟨exp(2πi k x / pixel)⟩| for k = 1 to 4, less what chance gives.

    Args:
        x_nm: float ``[N]``, nm.
        pixel_nm: camera pixel, nm.
    """
    phase = 2j * np.pi * np.asarray(x_nm, np.float64) / pixel_nm
    power = max(abs(np.exp(k * phase).mean()) ** 2 for k in range(1, _HARMONICS + 1))
    return float(np.sqrt(max(power - 1 / len(x_nm), 0.0)))
