"""How a mask is retrieved, and what is retrieved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ds3d_tf.options import FitOptions


@dataclass(frozen=True)
class RetrievalOptions(FitOptions):
    """How to retrieve.

    Attributes:
        left_out: slices (from 0) kept out of the fit, to be compared with the model.
        blur_sigma_px: first guess of the blur, camera pixels.
    """

    left_out: tuple[int, ...] = ()
    blur_sigma_px: float = 0.75


@dataclass(frozen=True, eq=False)
class RetrievedMask:
    """A mask and what was estimated along with it; S is the number of slices.

    Attributes:
        mask_rad: float64 ``[N, N]`` (rows along y, columns along x), rad; 0 outside the pupil. Without piston, tilt
            and defocus, which the offsets hold.
        blur_sigma_px: standard deviation of the blur, camera pixels.
        offset_um: float64 ``[2]`` (x, y), the bead's place at focus 0, µm.
        drift_um_per_um: float64 ``[2]`` (x, y), its sideways motion per µm of focus, no unit.
        focus_offset_um: to be added to every nominal focus position, µm.
        signal: float64 ``[S]``, counts of each slice.
        background: float64 ``[S]``, counts a pixel of each slice.
        correlation: float64 ``[S]``, of model and measured slice, no unit.
        fitted: bool ``[S]``, no unit; False for the slices left out.
        images: float32 ``[S, H, W]``, the model's slices, counts.
        steps: number of steps taken.
        focus_scale: factor of the focus steps with which the stack fits best, no unit; 1 is right.
        misfit: -2 log likelihood a pixel at the end, up to a constant.
    """

    mask_rad: np.ndarray
    blur_sigma_px: float
    offset_um: np.ndarray
    drift_um_per_um: np.ndarray
    focus_offset_um: float
    signal: np.ndarray
    background: np.ndarray
    correlation: np.ndarray
    fitted: np.ndarray
    images: np.ndarray
    steps: int
    misfit: float
    focus_scale: float
