"""Refined localizations: positions with photons, background, blur and their uncertainties."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.localization.tables.tables import REFINED_COLUMNS


@dataclass(frozen=True, eq=False)
class RefinedLocalizations(Localizations):
    """Localizations of a joint maximum-likelihood fit.

    ``confidence`` is that of the emitter in the start from which one comes, NaN where the search found it.

    Attributes:
        photons: float64 ``[N]``, photoelectrons.
        background: float64 ``[N]``, background at the emitter, photoelectrons a pixel.
        blur_px: float64 ``[N]``, standard deviation of the Gaussian blur, camera pixels.
        sigma_xyz_um: float64 ``[N, 3]``, standard deviations of x, y and z by the joint Fisher information, µm.
        sigma_photons: float64 ``[N]``, standard deviation of the photons, photoelectrons.
        log_likelihood_gain: float64 ``[N]``, about the log-likelihood that the emitter adds, no unit.
        reduced_chi2: float64 ``[N]``, reduced χ² weighted by the emitter's image, no unit.
    """

    photons: np.ndarray
    background: np.ndarray
    blur_px: np.ndarray
    sigma_xyz_um: np.ndarray
    sigma_photons: np.ndarray
    log_likelihood_gain: np.ndarray
    reduced_chi2: np.ndarray

    def where(self, chosen: np.ndarray) -> RefinedLocalizations:
        """Return some of the localizations.

        Args:
            chosen: bool ``[N]``, or int indices of any shape ``[K]`` (no unit).
        """
        whole = ("frame_shape", "setup")
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name not in whole})

    def to_dataframe(self) -> pd.DataFrame:
        """Return the table of :meth:`Localizations.to_dataframe` with the columns that a refinement adds."""
        nm = self.sigma_xyz_um * 1000
        values = (
            self.photons,
            self.background,
            self.blur_px * self.setup.optics.pixel_um * 1000,
            np.sqrt((nm[:, 0] ** 2 + nm[:, 1] ** 2) / 2),
            *nm.T,
            self.sigma_photons,
            self.log_likelihood_gain,
            self.reduced_chi2,
        )
        return super().to_dataframe().assign(**dict(zip(REFINED_COLUMNS, values, strict=True)))
