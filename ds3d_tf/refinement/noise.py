"""Photoelectrons and their noise: shifted Poisson with read noise, excess noise, bad pixels and model error."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom
from scipy.signal import fftconvolve

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup import Setup
from ds3d_tf.setup.camera_files import load_camera

# A dark, noiseless pixel would carry infinite information.
MIN_VARIANCE = 0.05
_SMOOTHING_PX, _BLOCK_PX, _LOW_PERCENT = 1.5, 40, 20
_KERNEL_GRID, _KERNEL_HALF_PX, _LEAST_PASSED = 64, 5, 0.05
# Noise that varies over a frame is measured within this distance (standard deviation) of a pixel.
_VARYING_PX = 12.0
_LEAST_VARYING_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class CameraNoise:
    """How counts become photoelectrons, and what noise they carry.

    Attributes:
        offset: counts of a dark pixel, a number or float ``[H, W]``.
        gain: counts of a photoelectron, a number or float ``[H, W]``.
        read_sigma: standard deviation of the read noise, photoelectrons, a number or float ``[H, W]``.
        excess: variance over mean of the shot noise in photoelectrons: 1, or 2 for an EMCCD.
        valid: bool ``[H, W]``, True for pixels to use; None: all.
        quantum_efficiency: photoelectrons of a photon, no unit.
        model_error: standard deviation of the images' error over the emitters' light, no unit: no measured PSF is
            perfect, and without it a bright emitter breeds satellites.
        kernel: float64 ``[K, K]``, no unit, of :func:`noise_kernel`, where the read noise varies over the frame in an
            unknown way: each frame's is then measured in itself; None: ``read_sigma`` holds.
    """

    offset: float | np.ndarray = 0.0
    gain: float | np.ndarray = 1.0
    read_sigma: float | np.ndarray = 0.0
    excess: float = 1.0
    valid: np.ndarray | None = None
    quantum_efficiency: float = 1.0
    model_error: float = 0.0
    kernel: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, least in (("gain", None), ("read_sigma", 0.0), ("offset", -np.inf)):
            value = np.asarray(getattr(self, name), np.float64)
            if value.ndim not in (0, 2):
                raise InputError(f"{name}: expected a number or a map [H, W], got shape {value.shape}")
            used = value if self.valid is None or value.ndim == 0 else value[np.asarray(self.valid, bool)]
            if not np.isfinite(used).all() or (used < least if least is not None else used <= 0).any():
                wanted = "positive numbers" if least is None else "finite numbers of 0 or more"
                raise InputError(f"{name}: expected {wanted}, got {np.min(used):g} as the smallest")
        if not 0 < self.quantum_efficiency <= 1:
            raise InputError(f"quantum_efficiency: expected above 0, at most 1, got {self.quantum_efficiency:g}")
        if not (np.isfinite(self.excess) and self.excess > 0):
            raise InputError(f"excess: expected a positive number, got {self.excess:g}")
        if not 0 <= self.model_error < 1:
            raise InputError(f"model_error: expected 0 or more, less than 1, got {self.model_error:g}")

    @property
    def photons_per_unit(self) -> float:
        """Photons that one unit of :meth:`measured` stands for."""
        return self.excess / self.quantum_efficiency

    @classmethod
    def from_setup(cls, setup: Setup, shape: tuple[int, int] | None = None) -> CameraNoise:
        """Return the noise that a setup simulates: its camera's, or gain 1 and its range of read noise.

        Of a range, the root mean square is taken; its baseline is left to the fitted background.

        Args:
            setup: the ``Setup``.
            shape: (H, W) of the frames, pixels, to which the camera's maps are cut; None: the maps as they are.

        Raises InputError if a map is missing or wrong, or does not fit the frames.
        """
        camera = load_camera(setup)
        if camera is not None:
            camera = camera if shape is None else camera.for_frames(shape)
            return cls(
                offset=camera.offset_counts,
                gain=camera.counts_per_photoelectron,
                read_sigma=camera.read_noise_photoelectrons,
                excess=camera.excess,
                valid=None if camera.bad is None else ~camera.bad,
                quantum_efficiency=camera.quantum_efficiency,
            )
        section = setup.read_noise
        if section.kind == "none":
            return cls()
        low, high = section.sigma_range
        read_sigma = float(np.sqrt((low**2 + low * high + high**2) / 3))
        return cls(read_sigma=read_sigma, kernel=noise_kernel(setup) if section.kind == "super_gaussian" else None)

    def check_shape(self, shape: tuple[int, int]) -> None:
        """Raise InputError if a map is not of the frames' shape (H, W), pixels."""
        for name in ("offset", "gain", "read_sigma", "valid"):
            value = getattr(self, name)
            if value is not None and np.ndim(value) == 2 and np.shape(value) != shape:
                raise InputError(
                    f"{name}: a map of {np.shape(value)[0]}×{np.shape(value)[1]} pixels does not fit frames of "
                    f"{shape[0]}×{shape[1]}"
                )

    def measured(self, counts: np.ndarray) -> MeasuredFrame:
        """Return a frame with its noise, in units in which shot noise has variance = mean.

        Args:
            counts: float ``[H, W]``, raw counts; NaN and infinite pixels are left out.
        """
        counts = np.asarray(counts, np.float64)
        valid = np.isfinite(counts)
        if self.valid is not None:
            valid &= np.asarray(self.valid, bool)
        with np.errstate(invalid="ignore", divide="ignore"):
            electrons = (counts - self.offset) / self.gain / self.excess
        variance = np.broadcast_to((np.asarray(self.read_sigma, np.float64) / self.excess) ** 2, counts.shape)
        data = np.where(valid, electrons, 0).astype(np.float32)
        variance = np.where(valid, variance, 0).astype(np.float32)
        if self.kernel is not None:
            variance = _varying_variance(data, valid, self.kernel)
        if self.model_error > 0:
            variance = variance + (np.float32(self.model_error) * light_above_background(data, valid)) ** 2
        return MeasuredFrame(data, variance, valid.astype(np.float32))


def noise_kernel(setup: Setup) -> np.ndarray:
    """Return a high-pass filter, float64 ``[K, K]`` (no unit), that lets through noise but not the optics' images.

    White noise keeps its variance. Where the camera's pixels are too large for frequencies beyond the cut-off 2 NA / λ,
    it is the filter of second differences along both axes, which passes little of an image.
    """
    optics = setup.optics
    cut_off = 2 * optics.numerical_aperture / optics.wavelength_um * optics.pixel_um
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_KERNEL_GRID), np.fft.fftfreq(_KERNEL_GRID)))
    passed = frequency > cut_off
    if passed.mean() < _LEAST_PASSED:
        kernel = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0])
    else:
        half = _KERNEL_GRID // 2
        middle = slice(half - _KERNEL_HALF_PX, half + _KERNEL_HALF_PX + 1)
        taper = np.hanning(2 * _KERNEL_HALF_PX + 3)[1:-1]
        kernel = np.fft.fftshift(np.fft.ifft2(passed).real)[middle, middle] * np.outer(taper, taper)
        kernel -= kernel.mean()
    return np.asarray(kernel / np.sqrt(np.sum(kernel**2)))


def _varying_variance(data: np.ndarray, valid: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return a frame's variance beyond shot noise around each pixel: float32 ``[H, W]``, the data's unit squared."""
    half = len(kernel) // 2
    filled = np.where(valid, data, np.median(data[valid]) if valid.any() else 0)
    if min(data.shape) < len(kernel):
        return np.full(data.shape, np.var(filled), np.float32)
    # Pixels nearer to the border than the filter is wide do not count.
    used = np.pad(valid[half:-half, half:-half], half).astype(np.float32)
    squared = np.pad(fftconvolve(filled, kernel, "valid"), half) ** 2
    share = np.maximum(gaussian_filter(used, _VARYING_PX, mode="constant"), 1e-6)
    total, mean = (
        gaussian_filter(used * values, _VARYING_PX, mode="constant") / share
        for values in (squared.astype(np.float32), np.maximum(filled, 0))
    )
    beyond = total - mean
    least = _LEAST_VARYING_SHARE * float(np.median(total))
    return np.asarray(np.where(valid, np.maximum(beyond, least), 0), np.float32)


def light_above_background(data: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return a frame's light above a low background, smoothed: float32 ``[H, W]``, the data's unit.

    The model error follows from it before any emitter is known, so that it is the same for every explanation.

    Args:
        data: float32 ``[H, W]``, any unit.
        valid: bool ``[H, W]``, pixels to use.
    """
    share = gaussian_filter(valid.astype(np.float32), _SMOOTHING_PX)
    smooth = gaussian_filter(np.where(valid, data, 0), _SMOOTHING_PX) / np.maximum(share, 1e-3)
    edges = [np.linspace(0, size, max(size // _BLOCK_PX, 1) + 1).astype(int) for size in data.shape]
    low = [
        [np.percentile(smooth[a:b, c:d], _LOW_PERCENT) for c, d in itertools.pairwise(edges[1])]
        for a, b in itertools.pairwise(edges[0])
    ]
    factors = [size / len(rows) for size, rows in zip(data.shape, (low, low[0]), strict=True)]
    background = zoom(np.array(low, np.float32), factors, order=1, mode="nearest", grid_mode=True)
    return np.maximum(smooth - background, 0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class MeasuredFrame:
    """A frame whose shot noise has variance = mean (photoelectrons over the excess).

    Attributes:
        data: float32 ``[H, W]``, photoelectrons over the excess; 0 where not valid.
        extra_variance: float32 ``[H, W]``, variance beyond the shot noise (read noise, model error), same unit squared.
        valid: float32 ``[H, W]``, 1 for pixels to use, 0 for others, no unit.
    """

    data: np.ndarray
    extra_variance: np.ndarray
    valid: np.ndarray

    def variance(self, mean: np.ndarray) -> np.ndarray:
        """Return the variance of every pixel, mean + extra variance: float32 ``[H, W]``, photoelectrons squared.

        Args:
            mean: float32 ``[H, W]``, expected photoelectrons a pixel.
        """
        return np.maximum(mean + self.extra_variance, MIN_VARIANCE)

    def log_likelihood(self, mean: np.ndarray) -> float:
        """Return the shifted-Poisson log-likelihood, less what depends on the data alone.

        d + σ² ~ Poisson(µ + σ²) (Huang et al., Nature Methods 10, 653, 2013), relative to that of µ = d.

        Args:
            mean: float32 ``[H, W]``, expected photoelectrons a pixel.
        """
        return float(np.sum(self.log_likelihoods(mean), dtype=np.float64))

    def log_likelihoods(self, mean: np.ndarray) -> np.ndarray:
        """Return what each pixel adds to :meth:`log_likelihood`: float32 ``[H, W]``, no unit.

        Args:
            mean: float32 ``[H, W]``, expected photoelectrons a pixel.
        """
        expected = self.variance(mean)
        seen = self.data + self.extra_variance
        # Written about seen = expected, so that single precision keeps small differences.
        ratio = (seen - expected) / expected
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.where(ratio > -1, np.log1p(np.maximum(ratio, -0.999999)), 0)
        return np.where(seen > 0, (seen - expected) - seen * log, seen * np.log(expected) - expected) * self.valid

    def whitened(self, mean: np.ndarray) -> np.ndarray:
        """Return residuals over their standard deviation: float32 ``[H, W]``, no unit; 0 where not valid.

        Args:
            mean: float32 ``[H, W]``, expected photoelectrons a pixel.
        """
        return self.valid * (self.data - mean) / np.sqrt(self.variance(mean))
