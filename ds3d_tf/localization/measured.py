"""Localizations of a pixel network: positions with photons, background and their uncertainties."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.localization.tables.tables import MEASURED_COLUMNS


@dataclass(frozen=True, eq=False)
class MeasuredLocalizations(Localizations):
    """Localizations with what a pixel network says about each.

    Attributes:
        photons: float64 or float32 ``[N]``, photoelectrons.
        background: float64 or float32 ``[N]``, background at the emitter, photoelectrons a pixel.
        sigma_xyz_um: float64 or float32 ``[N, 3]``, standard deviations of x, y and z, µm.
        sigma_photons: float64 or float32 ``[N]``, standard deviation of the photons, photoelectrons.
    """

    photons: np.ndarray
    background: np.ndarray
    sigma_xyz_um: np.ndarray
    sigma_photons: np.ndarray

    def where(self, chosen: np.ndarray) -> MeasuredLocalizations:
        """Return some of the localizations.

        Args:
            chosen: bool ``[N]``, or int indices of any shape ``[K]`` (no unit).
        """
        whole = ("frame_shape", "setup")
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name not in whole})

    def to_dataframe(self) -> pd.DataFrame:
        """Return the table of :meth:`Localizations.to_dataframe` with the columns that a pixel network adds."""
        nm = np.asarray(self.sigma_xyz_um, np.float64) * 1000
        lateral = np.sqrt((nm[:, 0] ** 2 + nm[:, 1] ** 2) / 2)
        values = (self.photons, self.background, lateral, *nm.T, self.sigma_photons)
        return super().to_dataframe().assign(**dict(zip(MEASURED_COLUMNS, values, strict=True)))
