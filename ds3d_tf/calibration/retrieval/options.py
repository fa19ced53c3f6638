"""How a mask is retrieved, and what is retrieved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RetrievalOptions:
    """How to retrieve.

    Attributes:
        likelihood: ``gaussian`` or ``poisson`` (of counts that are photons).
        zernike_terms: start from Zernike modes up to this Noll index; 0 starts from a flat mask.
        left_out: slices kept out of the fit, to be compared with the model.
        blur_sigma_px: first guess of the blur, camera pixels.
        max_steps: most steps of the whole fit; it ends sooner where it stalls.
        seed: of the order in which slices are visited.
    """

    likelihood: str = "gaussian"
    zernike_terms: int = 15
    left_out: tuple[int, ...] = ()
    blur_sigma_px: float = 0.75
    max_steps: int = 400
    seed: int = 0


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
