"""Phase retrieval: the mask, and all else that shaped a bead's z-stack, by maximum likelihood.

Pixel-wise retrieval from a stack with the imaging model as a differentiable function: Ferdman et al., Opt. Express 28,
10179, 2020 (VIPR). Here signal and background of each slice are solved for, the gradient is smoothed from coarse to
fine, and a weak prior on the phase's curvature stands where the stack says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds3d_tf.calibration.retrieval.loss import LIKELIHOODS


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


def retrieve(
    stack: np.ndarray,
    nfp_um: np.ndarray,
    optics: Any,
    mask_size_px: int,
    *,
    bead_height_um: float = 0.0,
    options: RetrievalOptions | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> RetrievedMask:
    """Retrieve the phase mask from a bead's z-stack.

    Args:
        stack: float ``[S, H, W]``, one bead near the centre, counts.
        nfp_um: float ``[S]``, nominal focus position of each slice, µm.
        optics: the setup's optics section; its ``model`` and ``polarization`` say which physics.
        mask_size_px: N, side of the mask, SLM pixels (odd).
        bead_height_um: height of the bead's centre above the coverslip, µm.
        options: see :class:`RetrievalOptions`.
        progress: called after each step with (step, most steps, misfit).

    Raises ValueError for arrays whose shapes do not fit, or an unknown likelihood; InputError if the mask's size does
    not fit the optics.
    """
    options = options or RetrievalOptions()
    if np.ndim(stack) != 3 or np.shape(nfp_um) != np.shape(stack)[:1]:
        raise ValueError(f"stack, nfp_um: expected [S, H, W] and [S], got {np.shape(stack)} and {np.shape(nfp_um)}")
    if options.likelihood not in LIKELIHOODS:
        raise ValueError(f"options.likelihood: expected one of {LIKELIHOODS}, got {options.likelihood!r}")
    from ds3d_tf.calibration.retrieval.fit import RetrievalFit
    from ds3d_tf.calibration.retrieval.model import BeadStackModel

    model = BeadStackModel(optics, mask_size_px, np.shape(stack)[1:], bead_height_um)
    fit = RetrievalFit(model, optics, np.asarray(stack, np.float32), np.asarray(nfp_um, np.float32), options)
    return fit.run(progress or (lambda step, most, value: None))
