"""Phase retrieval: the mask, and all else that shaped a bead's z-stack, by maximum likelihood.

Pixel-wise retrieval from a stack with the imaging model as a differentiable function: Ferdman et al., Opt. Express 28,
10179, 2020 (VIPR). Here signal and background of each slice are solved for, the gradient is smoothed from coarse to
fine, and a weak prior on the phase's curvature stands where the stack says nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ds3d_tf.calibration.retrieval.fit import RetrievalFit
from ds3d_tf.calibration.retrieval.loss import LIKELIHOODS
from ds3d_tf.calibration.retrieval.model import BeadStackModel
from ds3d_tf.calibration.retrieval.options import RetrievalOptions, RetrievedMask
from ds3d_tf.setup.sections import OpticsSection


def retrieve(
    stack: np.ndarray,
    nfp_um: np.ndarray,
    optics: OpticsSection,
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
    model = BeadStackModel(optics, mask_size_px, np.shape(stack)[1:], bead_height_um)
    fit = RetrievalFit(model, optics, np.asarray(stack, np.float32), np.asarray(nfp_um, np.float32), options)
    return fit.run(progress or (lambda step, most, value: None))
