"""Pupil grids: what every SLM pixel does to an emitter's light, from the optics alone."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup.fft_grid import MAX_PIXEL_MISMATCH, fourier_period_px, light_outside_grid
from ds3d_tf.setup.sections import OpticsSection

_LOG = logging.getLogger(__name__)
MISMATCH_WARNED = 0.001


@dataclass(frozen=True, eq=False)
class PupilGrids:
    """Phases in the plane of the mask; ``N`` is the mask's size, rows are η (along y), columns ξ (along x).

    Attributes:
        support: bool ``[N, N]``, True where light of an emitter in water passes, no unit.
        axial_rad_per_um: float64 ``[N, N]``, phase per µm of height above the coverslip (k_w cos θ_w), rad/µm; 0
            outside the support.
        focus_rad: float64 ``[N, N]``, phase of the focus position (-NFP k_o cos θ_o), rad; 0 outside the support.
        lateral_rad_per_um: float64 ``[N]``, phase per µm of x (by column) or y (by row), rad/µm.
        pupil_x: float64 ``[N]``, pupil coordinate by column (or, for y, by row), 1 at the edge of the objective's
            pupil, no unit.
        fft_size: G, camera pixels after which the Fourier transform from the pupil to the camera repeats; need not
            be whole.
    """

    support: np.ndarray
    axial_rad_per_um: np.ndarray
    focus_rad: np.ndarray
    lateral_rad_per_um: np.ndarray
    pupil_x: np.ndarray
    fft_size: float

    @property
    def pupil_radius(self) -> np.ndarray:
        """Radial pupil coordinate, float64 ``[N, N]``, 1 at the edge of the objective's pupil, no unit."""
        return np.hypot(self.pupil_x[:, None], self.pupil_x[None, :])


def fft_size(optics: OpticsSection, mask_size_px: int) -> float:
    """Return G, the Fourier grid's size in camera pixels: λ f / (slm_pixel camera_pixel).

    With ``optics.fourier_grid: rounded`` it is the mask padded to whole samples, each nearly a camera pixel; a
    difference of more than 0.1 % is then logged once as a warning.

    Raises InputError if the camera cannot sample the light that the mask lets through, or if a sample of the rounded
    grid differs from a camera pixel by more than 0.5 %.
    """
    outside = light_outside_grid(optics, mask_size_px)
    if outside:
        raise InputError(outside)
    wanted = optics.fft_size_px
    size = fourier_period_px(optics, mask_size_px)
    mismatch = abs(size / wanted - 1)
    if mismatch > MAX_PIXEL_MISMATCH:
        raise InputError(
            f"optics: a Fourier grid of {size:g} samples makes its pixel {100 * mismatch:.2f} % different from the "
            f"camera's (at most {100 * MAX_PIXEL_MISMATCH:g} % is accepted); set optics.fourier_grid=exact"
        )
    if mismatch > MISMATCH_WARNED:
        _warn_once(size, round(wanted, 2))
    return size


@cache
def _warn_once(size: float, wanted: float) -> None:
    _LOG.warning(
        "a Fourier grid of %d samples stands for %.2f, as in DeepSTORM3D: positions are %.2f %% off away from the "
        "frame's centre; with optics.fourier_grid=exact they are not",
        size,
        wanted,
        100 * abs(size / wanted - 1),
    )


def pupil_grids(optics: OpticsSection, mask_size_px: int, focus_um: float) -> PupilGrids:
    """Return the pupil's grids for a mask of ``mask_size_px`` (odd) SLM pixels focused at ``focus_um`` µm.

    Formulas: Nehme et al., Nature Methods 2020 (scalar model of an emitter in water behind an oil objective).
    Raises InputError as :func:`fft_size`, and if ``mask_size_px`` is even or below 3.
    """
    if mask_size_px < 3 or mask_size_px % 2 == 0:
        raise InputError(f"mask.size_px: expected an odd number of at least 3, got {mask_size_px}")
    grid = fft_size(optics, mask_size_px)
    edge = optics.numerical_aperture / optics.n_oil
    pupil_x = np.linspace(-1, 1, mask_size_px) * mask_size_px / optics.pupil_diameter_px
    sin_oil = edge * np.hypot(pupil_x[:, None], pupil_x[None, :])
    sin_water = sin_oil * optics.n_oil / optics.n_water
    support = (sin_oil < edge) & (sin_water < 1)
    cos_water = np.sqrt(np.where(support, 1 - sin_water**2, 0))
    cos_oil = np.sqrt(np.where(support, 1 - sin_oil**2, 0))
    k_vacuum = 2 * math.pi / optics.wavelength_um
    slm_um = (np.arange(mask_size_px) - (mask_size_px - 1) / 2) * optics.slm_pixel_um
    return PupilGrids(
        support=support,
        axial_rad_per_um=k_vacuum * optics.n_water * cos_water,
        focus_rad=-focus_um * k_vacuum * optics.n_oil * cos_oil,
        lateral_rad_per_um=k_vacuum * optics.magnification * slm_um / optics.focal_length_um,
        pupil_x=pupil_x,
        fft_size=grid,
    )
