"""Local images of single emitters, with exact derivatives, from a table of one mask's point spread function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from scipy.interpolate import CubicSpline

from ds3d_tf.optics.rendering.exact import BLUR_HALF_WIDTH_PX
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.refinement.image_stack import cut, oversampled_stack, window_sizes
from ds3d_tf.setup.sections import OpticsSection, VolumeSection

# Emitters are looked for a little beyond the depth range: one at its end must be able to find its own optimum.
Z_MARGIN_UM = 0.15
MAX_WINDOW_PX = 135
_Z_STEP_UM = 0.02
_RANK_TOLERANCE = 2e-4
# An image sampled at camera pixels holds frequencies up to half a cycle a pixel without aliasing.
_MAX_BAND_PER_PX = 0.51
DERIVATIVES = ("image", "x", "y", "z", "blur")
CURVATURES = ("xx", "yy", "zz", "xy", "xz", "yz")


@dataclass(frozen=True, eq=False)
class LocalImages:
    """Images of one photon on a square window around an emitter, from spectra ``Σ_r coefficients_r(z) spectra_r``.

    Attributes:
        window_px: W, pixels along a side of the window; odd.
        oversampling: samples of the table along a camera pixel.
        pixels_per_um: camera pixels by which an image moves for 1 µm.
        z_range_um: depths that the table covers, µm.
        spectra: float32 ``[R, 2 K]``, Fourier coefficients (real and imaginary parts in turn), photons.
        coefficients: float64 ``[R]`` as a function of z (µm): a cubic spline, no unit.
        slopes: its derivative, 1/µm.
    """

    window_px: int
    oversampling: int
    pixels_per_um: float
    z_range_um: tuple[float, float]
    spectra: np.ndarray
    coefficients: CubicSpline
    slopes: CubicSpline

    @property
    def half_px(self) -> int:
        """Pixels from the window's centre pixel to its edge pixel."""
        return self.window_px // 2

    def corners(self, xyz_um: np.ndarray) -> np.ndarray:
        """Return the first row and column of each window, relative to the pixel whose centre is x = y = 0.

        Args:
            xyz_um: float ``[E, 3]`` (x, y, z), µm.

        Returns:
            int64 ``[E, 2]`` (row, column), pixels.
        """
        return np.rint(xyz_um[:, 1::-1] * self.pixels_per_um).astype(np.int64) - self.half_px

    def images(self, xyz_um: np.ndarray, blur_px: np.ndarray) -> np.ndarray:
        """Return images of one photon.

        Args:
            xyz_um: float ``[E, 3]`` (x, y, z), µm; z is held inside the table's range.
            blur_px: float ``[E]``, standard deviation of the Gaussian blur, camera pixels.

        Returns:
            float32 ``[E, W, W]`` (row, column), photons; the window begins at :meth:`corners`.
        """
        return self._evaluate(xyz_um, blur_px, derivatives=False)[:, 0]

    def derivatives(self, xyz_um: np.ndarray, blur_px: np.ndarray) -> np.ndarray:
        """Return images of one photon and their derivatives with respect to x, y, z and blur.

        Args:
            xyz_um: float ``[E, 3]`` (x, y, z), µm; z is held inside the table's range.
            blur_px: float ``[E]``, standard deviation of the Gaussian blur, camera pixels.

        Returns:
            float32 ``[E, 5, W, W]`` in the order of ``DERIVATIVES``; photons, photons/µm (3), photons/pixel.
        """
        return self._evaluate(xyz_um, blur_px, derivatives=True)

    def curvatures(self, xyz_um: np.ndarray, blur_px: np.ndarray) -> np.ndarray:
        """Return the second derivatives of images of one photon with respect to the position.

        Args:
            xyz_um: float ``[E, 3]`` (x, y, z), µm; z is held inside the table's range.
            blur_px: float ``[E]``, standard deviation of the Gaussian blur, camera pixels.

        Returns:
            float32 ``[E, 6, W, W]`` in the order of ``CURVATURES``, photons/µm².
        """
        shape = (len(xyz_um), 6, self._spectrum_shape[0], self._spectrum_shape[1])
        spectra = np.empty(shape, np.complex64)
        z_um = np.clip(xyz_um[:, 2], *self.z_range_um)
        shift = self._shift(xyz_um, blur_px)[0]
        turn_x, turn_y = self._turns()
        image = self._spectra_of(self.coefficients(z_um)) * shift
        slope = self._spectra_of(self.slopes(z_um)) * shift
        spectra[:, 0] = image * turn_x**2
        spectra[:, 1] = image * turn_y**2
        spectra[:, 2] = self._spectra_of(self.slopes.derivative()(z_um)) * shift
        spectra[:, 3] = image * (turn_x * turn_y)
        spectra[:, 4] = slope * turn_x
        spectra[:, 5] = slope * turn_y
        return self._transformed(spectra)

    def _evaluate(self, xyz_um: np.ndarray, blur_px: np.ndarray, derivatives: bool) -> np.ndarray:
        count = len(xyz_um)
        if not count:
            return np.zeros((0, 5 if derivatives else 1, self.window_px, self.window_px), np.float32)
        z_um = np.clip(xyz_um[:, 2], *self.z_range_um)
        centred = self._spectra_of(self.coefficients(z_um))
        shift, blurring = self._shift(xyz_um, blur_px)
        spectra = np.empty((count, 5 if derivatives else 1, *self._spectrum_shape), np.complex64)
        np.multiply(centred, shift, out=spectra[:, 0])
        if derivatives:
            for place, turn in zip((1, 2), self._turns(), strict=True):
                np.multiply(spectra[:, 0], turn, out=spectra[:, place])
            np.multiply(self._spectra_of(self.slopes(z_um)), shift, out=spectra[:, 3])
            np.multiply(centred, blurring, out=spectra[:, 4])
        return self._transformed(spectra)

    @property
    def _samples(self) -> int:
        return self.window_px * self.oversampling

    @property
    def _spectrum_shape(self) -> tuple[int, int]:
        return self._samples, self._samples // 2 + 1

    def _frequencies(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the frequencies along x ``[K / 2 + 1]`` and y ``[K]``, cycles a camera pixel."""
        spacing = 1 / self.oversampling
        return np.fft.rfftfreq(self._samples, spacing), np.fft.fftfreq(self._samples, spacing)

    def _turns(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what a derivative in x, and one in y, multiplies a spectrum by: complex64, 1/µm."""
        along_x, along_y = (-2j * np.pi * self.pixels_per_um * f for f in self._frequencies())
        return along_x.astype(np.complex64), along_y.astype(np.complex64)[:, None]

    def _shift(self, xyz_um: np.ndarray, blur_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the transfer of each emitter's sub-pixel shift and blur, and its derivative in the blur."""
        position_px = xyz_um[:, :2] * self.pixels_per_um
        offset_px = position_px - np.rint(position_px)
        along_x, along_y = self._frequencies()
        across, across_slope = _transfer(along_x, offset_px[:, 0], blur_px)
        down, down_slope = _transfer(along_y, offset_px[:, 1], blur_px)
        slope = down_slope[:, :, None] * across[:, None, :]
        slope += down[:, :, None] * across_slope[:, None, :]
        return down[:, :, None] * across[:, None, :], slope

    def _transformed(self, spectra: np.ndarray) -> np.ndarray:
        images = scipy.fft.irfft2(spectra, s=(self._samples, self._samples), overwrite_x=True)
        return images[:, :, :: self.oversampling, :: self.oversampling]

    def _spectra_of(self, coefficients: np.ndarray) -> np.ndarray:
        """Return complex64 ``[E, K, K / 2 + 1]`` from ``[E, R]``."""
        values = (coefficients.astype(np.float32) @ self.spectra).view(np.complex64)
        return values.reshape(len(values), *self._spectrum_shape)


def _transfer(frequency: np.ndarray, offset_px: np.ndarray, blur_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the transfer of a shift and a blur along one axis, and its derivative in the blur: complex64 ``[E, K]``.

    The blur is the simulator's: a Gaussian sampled at whole pixels, cut off at BLUR_HALF_WIDTH_PX, not normalized.
    """
    taps = np.arange(BLUR_HALF_WIDTH_PX + 1)
    sigma = np.asarray(blur_px, np.float64)[:, None]
    weights = np.where(taps > 0, 2, 1) * np.exp(-((taps / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
    waves = np.cos(2 * np.pi * np.outer(taps, frequency))
    phases = np.exp(-2j * np.pi * np.outer(offset_px, frequency))
    blur, slope = weights @ waves, (weights * (taps**2 / sigma**3 - 1 / sigma)) @ waves
    return (phases * blur).astype(np.complex64), (phases * slope).astype(np.complex64)


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A mask's images on two windows: a small one that holds what tells positions, a wide one for the faint rest.

    Attributes:
        core: images and derivatives on the small window (CORE_ENERGY of Σ h² at every depth).
        wide: the same images on a window with WIDE_ENERGY.
    """

    core: LocalImages
    wide: LocalImages

    @property
    def z_range_um(self) -> tuple[float, float]:
        """Depths that the tables cover, µm."""
        return self.core.z_range_um


def image_model(optics: OpticsSection, volume: VolumeSection, mask: np.ndarray) -> ImageModel:
    """Return the image model of a mask; the last few are kept, so asking again for the same costs nothing.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section (depth range and focus; the frame size does not matter).
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x).

    Raises InputError if the mask does not fit the optics.
    """
    mask = np.ascontiguousarray(mask, np.float64)
    volume = volume.model_copy(update={"height_px": 1, "width_px": 1, "margin_px": 0})
    return _cached(optics, volume, mask.tobytes(), mask.shape)


@lru_cache(maxsize=4)
def _cached(optics: OpticsSection, volume: VolumeSection, mask_bytes: bytes, mask_shape: tuple[int, int]) -> ImageModel:
    mask = np.frombuffer(mask_bytes).reshape(mask_shape)
    grids = exact_renderer(optics, volume, mask).grids
    z_range_um = (volume.z_min_um - Z_MARGIN_UM, volume.z_max_um + Z_MARGIN_UM)
    z_um = np.linspace(*z_range_um, math.ceil((z_range_um[1] - z_range_um[0]) / _Z_STEP_UM) + 1)
    whole = int(grids.fft_size)
    largest = min(MAX_WINDOW_PX, whole - (whole + 1) % 2)
    edge = optics.numerical_aperture
    if optics.model == "scalar":
        edge = min(edge, optics.n_water)
    oversampling = max(1, math.ceil(2 * edge / optics.wavelength_um * optics.pixel_um / _MAX_BAND_PER_PX))
    pixels_per_um = float(np.diff(grids.lateral_rad_per_um).mean() * grids.fft_size / (2 * math.pi))
    stack = oversampled_stack(optics, volume, mask, z_um, largest, oversampling, pixels_per_um)
    core, wide = (
        _local_images(cut(stack, size, oversampling, size < grids.fft_size), z_um, size, oversampling, pixels_per_um)
        for size in window_sizes(stack[:, ::oversampling, ::oversampling])
    )
    return ImageModel(core, wide)


def _local_images(
    stack: np.ndarray, z_um: np.ndarray, window_px: int, oversampling: int, pixels_per_um: float
) -> LocalImages:
    """Return the low-rank form of images ``[Z, q W, q W]``: the singular vectors that every depth needs."""
    planes = stack.reshape(len(z_um), -1).astype(np.float64)
    norms = np.linalg.norm(planes, axis=1)
    relative = planes / norms[:, None]
    values, vectors = np.linalg.eigh(relative @ relative.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    left_out = 1 - np.cumsum((vectors * np.sqrt(values.clip(0))) ** 2, axis=1)
    rank = int(np.argmax(left_out.max(axis=0) <= _RANK_TOLERANCE**2)) + 1
    vectors = vectors[:, :rank]
    spectra = np.fft.rfft2((vectors.T @ relative).reshape(rank, *stack.shape[1:]))
    table = CubicSpline(z_um, vectors * norms[:, None])
    return LocalImages(
        window_px=window_px,
        oversampling=oversampling,
        pixels_per_um=pixels_per_um,
        z_range_um=(float(z_um[0]), float(z_um[-1])),
        spectra=np.stack([spectra.real, spectra.imag], axis=-1).reshape(rank, -1).astype(np.float32),
        coefficients=table,
        slopes=table.derivative(),
    )
