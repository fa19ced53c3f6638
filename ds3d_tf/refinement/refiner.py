"""Refinement as a step of a recording's localization: what a model found in some frames in, what is refined out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.refinement.frames import refine
from ds3d_tf.refinement.refined import RefinedLocalizations


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
