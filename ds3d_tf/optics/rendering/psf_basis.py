"""A point spread function of one mask as a few spectra: any height, any sub-pixel position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.setup.sections import OpticsSection, VolumeSection

_TAPER_PX = 16
_PLANES_AT_A_TIME = 8


@dataclass(frozen=True, eq=False)
class PsfBasis:
    """Images of one photon at x = y = 0: ``spectrum(z) = Σ_r coefficients_r(z) spectra_r``.

    A spectrum holds the Fourier coefficients of an image that repeats every ``periods_px``, sign and order of rows:
    ky = 0, 1 … Ky, -1 … -Ky; columns kx = 0, 1 … Kx (the others are their conjugates).

    Attributes:
        z_low_um: height of the first row of ``coefficients``, µm.
        z_step_um: height between its rows, µm.
        coefficients: float32 ``[T, R]``, no unit.
        spectra: complex64 ``[R, 2 Ky + 1, Kx + 1]``, photons.
        periods_px: (rows, columns), camera pixels.
        pixels_per_um: camera pixels by which an image moves for 1 µm.
        whole_period: whether the period is the Fourier grid's own, so that any position may be asked for.
    """

    z_low_um: float
    z_step_um: float
    coefficients: np.ndarray
    spectra: np.ndarray
    periods_px: tuple[int, int]
    pixels_per_um: float
    whole_period: bool


def psf_basis(
    optics: OpticsSection,
    volume: VolumeSection,
    mask: np.ndarray,
    sharpest_sigma_px: float,
    margin_px: float,
    tolerance: float,
) -> PsfBasis:
    """Return the basis of a mask's point spread function over the depth range of a volume.

    The exact renderer draws it at Chebyshev heights; a singular value decomposition of those images, blurred as
    little as they ever will be, finds the few spectra that span them.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section.
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x).
        sharpest_sigma_px: smallest blur that will be applied, camera pixels.
        margin_px: emitters keep this distance from the frame's border, camera pixels.
        tolerance: relative error (L2, of a blurred image) allowed to the number of spectra and to their size, each.

    Raises InputError if the mask does not fit the optics.
    """
    grids = exact_renderer(optics, volume, mask).grids
    periods, windows = zip(
        *(_period(size, margin_px, grids.fft_size) for size in (volume.height_px, volume.width_px)), strict=True
    )
    stack = volume.model_copy(update={"height_px": periods[0], "width_px": periods[1]})
    renderer = exact_renderer(optics, stack, mask)

    axial = grids.axial_rad_per_um[grids.support]
    # Heights change phases between two pupil points by at most this; polynomials in z need that degree and a few.
    turn = float(np.ptp(axial)) * (volume.z_max_um - volume.z_min_um)
    heights = _chebyshev(math.ceil(turn / 2) + 24, volume.z_min_um, volume.z_max_um)
    spectra = []
    for begin in range(0, len(heights), _PLANES_AT_A_TIME):
        z = heights[begin : begin + _PLANES_AT_A_TIME]
        planes = renderer.psf(np.stack([0 * z, 0 * z, z], axis=1), np.ones(len(z))).numpy()
        planes = planes.astype(np.float64) * windows[0][:, None] * windows[1]
        shifted = np.roll(planes, (-(periods[0] // 2), -(periods[1] // 2)), axis=(1, 2))
        spectra.append(np.fft.rfft2(shifted) / (periods[0] * periods[1]))
    spectrum = np.concatenate(spectra)
    spectrum, sharp = _cropped(spectrum, periods, sharpest_sigma_px, tolerance)

    norms = np.sqrt(np.sum(sharp**2, axis=(1, 2)))
    relative = sharp.reshape(len(heights), -1) / norms[:, None]
    _, vectors = np.linalg.eigh(relative @ relative.T)
    vectors = vectors[:, ::-1]
    left_out = 1 - np.cumsum((vectors * (relative @ (relative.T @ vectors))).clip(0), axis=1)
    rank = int(np.argmax(left_out.max(axis=0) <= tolerance**2)) + 1
    vectors = vectors[:, :rank]

    steps = math.ceil(turn / 0.1) + 4
    step = (volume.z_max_um - volume.z_min_um) / (steps - 3)
    table_z = volume.z_min_um + step * (np.arange(steps) - 1)
    polynomials = np.polynomial.Chebyshev.fit
    degree = len(heights) - 1
    domain = [volume.z_min_um, volume.z_max_um]
    table = np.stack([polynomials(heights, c * norms, degree, domain)(table_z) for c in vectors.T], axis=1)
    return PsfBasis(
        z_low_um=float(table_z[0]),
        z_step_um=step,
        coefficients=table.astype(np.float32),
        spectra=np.tensordot(vectors / norms[:, None], spectrum, axes=(0, 0)).astype(np.complex64),
        periods_px=(periods[0], periods[1]),
        pixels_per_um=float(np.diff(grids.lateral_rad_per_um).mean() * grids.fft_size / (2 * math.pi)),
        whole_period=all(period == grids.fft_size for period in periods),
    )


def _period(size_px: int, margin_px: float, fft_size: int) -> tuple[int, np.ndarray]:
    """Return the period of an axis and the window that makes an image fade before it ends.

    Pixels are at most ``size - margin`` from an emitter; if the Fourier grid is no longer than twice that, its own
    period, with what it wraps round, is the model.
    """
    reach = math.ceil(size_px - margin_px)
    period = 2 * (reach + _TAPER_PX) + 1
    if period >= fft_size:
        return fft_size, np.ones(fft_size)
    beyond = np.abs(np.arange(period) - period // 2) - reach
    return period, np.cos(np.pi / 2 * np.clip(beyond / (_TAPER_PX + 1), 0, 1)) ** 2


def _chebyshev(count: int, low: float, high: float) -> np.ndarray:
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)[::-1]
    return (low + high) / 2 + (high - low) / 2 * nodes


def _cropped(
    spectrum: np.ndarray, periods: tuple[int, ...], sigma_px: float, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the orders that matter, and their magnitude in an image blurred by sigma (as real numbers).

    ``[Z, 2 Ky + 1, Kx + 1]`` and ``[Z, 2 Ky + 1, 2 (Kx + 1)]``.
    """
    ky = np.fft.fftfreq(periods[0], 1 / periods[0]).astype(int)
    kx = np.arange(spectrum.shape[2])
    sharp = spectrum * _transfer(ky, periods[0], sigma_px)[:, None] * _transfer(kx, periods[1], sigma_px)
    sharp = sharp * np.where(kx > 0, math.sqrt(2), 1)
    energy = np.abs(sharp) ** 2
    energy /= energy.sum(axis=(1, 2), keepdims=True)
    orders = []
    for k, marginal in ((ky, energy.sum(axis=2)), (kx, energy.sum(axis=1))):
        lost = [marginal[:, np.abs(k) > most].sum(axis=1).max() for most in range(np.abs(k).max() + 1)]
        orders.append(int(np.argmax(np.array(lost) <= tolerance**2 / 2)))
    rows = np.r_[0 : orders[0] + 1, -1 : -orders[0] - 1 : -1]
    spectrum, sharp = (value[:, rows, : orders[1] + 1] for value in (spectrum, sharp))
    return spectrum, np.concatenate([sharp.real, sharp.imag], axis=2)


def _transfer(k: np.ndarray, period_px: int, sigma_px: float) -> np.ndarray:
    return np.exp(-2 * (np.pi * sigma_px * k / period_px) ** 2)
