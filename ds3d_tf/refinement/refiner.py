"""Refinement as a step of a recording's localization: what a model found in some frames in, what is refined out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.refinement.frames import refine
from ds3d_tf.refinement.images import image_model
from ds3d_tf.refinement.refined import RefinedLocalizations
from ds3d_tf.setup import Setup


@dataclass(frozen=True)
class Refiner:
    """Refines the localizations of frames; frozen and small, so that it can be sent to other processes."""

    def __call__(self, frames: np.ndarray, found: Localizations, mask_rad: np.ndarray) -> RefinedLocalizations:
        """Return the refined localizations of frames.

        Args:
            frames: float32 ``[F, H, W]`` (row, column), raw counts.
            found: what a model found in them; the first frame has number 1.
            mask_rad: float64 ``[N, N]`` (rows along y), phase mask of the model's training, rad.
        """
        return refine(frames, found, found.setup, mask_rad)


def make_refiner(wanted: bool | None, setup: Setup, mask_rad: np.ndarray | None) -> tuple[Refiner | None, str]:
    """Return what refines the localizations of a model, or None and why not.

    Args:
        wanted: whether to refine; None: if the model allows it.
        setup: the model's.
        mask_rad: float64 ``[N, N]`` (rows along y), phase mask of the model's training, rad; None: not known.

    Raises InputError if it is wanted and the model does not allow it.
    """
    if wanted is False:
        return None, ""
    try:
        if mask_rad is None:
            raise InputError("the model does not include its phase mask; export it again with this version")
        image_model(setup.optics, setup.volume, mask_rad)
    except ValueError as error:  # InputError is one
        reason = error.marked if isinstance(error, InputError) else str(error)
        if wanted:
            raise InputError(f"{argument('refine')}: {reason}") from error
        return None, f"not refined: {error}"
    return Refiner(), ""
