"""Molecules by where they are: a region, the border of the frame, company."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.postprocessing.molecules.molecules import Molecules


def inside_region(molecules: Molecules, region_nm: tuple[float, float, float, float]) -> np.ndarray:
    """Return bool ``[N]``: True for molecules between left, top, right and bottom edge, nm; raises InputError."""
    left, top, right, bottom = region_nm
    if not (left < right and top < bottom):
        shown = " ".join(f"{edge:g}" for edge in region_nm)
        raise InputError(f"{argument('region_nm')} {shown}: expected left, top, right and bottom edge, nm")
    x, y = molecules.xyz_nm[:, :2].T
    return np.asarray((left <= x) & (x < right) & (top <= y) & (y < bottom))


def inside_border(molecules: Molecules, border_nm: float) -> np.ndarray:
    """Return bool ``[N]``: True for molecules at least ``border_nm`` from the frame's edges.

    Raises InputError if the size of the frame or its pixel is not known, or nothing is left of the frame.
    """
    if molecules.frame_shape is None or molecules.pixel_nm is None:
        raise InputError(
            f"{argument('border_nm')}: {molecules.source} does not say how large the frames are; "
            f"use {argument('region_nm')} instead"
        )
    height, width = (size * molecules.pixel_nm for size in molecules.frame_shape)
    if 2 * border_nm >= min(height, width):
        raise InputError(f"{argument('border_nm')} {border_nm:g}: the frame is only {width:g}×{height:g} nm")
    return inside_region(molecules, (border_nm, border_nm, width - border_nm, height - border_nm))


def count_neighbours(molecules: Molecules, radius_nm: float) -> np.ndarray:
    """Return int64 ``[N]``: number of other molecules within ``radius_nm`` of each, in space; no unit."""
    xyz_nm = molecules.xyz_nm
    found = cKDTree(xyz_nm).query_ball_point(xyz_nm, radius_nm, return_length=True, workers=-1)
    return np.asarray(found, np.int64) - 1
