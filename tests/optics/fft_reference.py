"""The optical model written a second time: plain NumPy, complex128, one padded FFT an emitter."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate


def fft_psf(setup, mask, xyz_um, photons):
    """Return the unblurred image of one emitter, float64 [H, W], counts."""
    optics, volume = setup.optics, setup.volume
    n = mask.shape[0]
    wanted = optics.wavelength_um * optics.focal_length_um / (optics.slm_pixel_um * optics.camera_pixel_um)
    padding = round((wanted - n) / 2)
    sin_oil = np.linspace(-1, 1, n) * optics.numerical_aperture / optics.n_oil * n / optics.pupil_diameter_px
    sin_oil = np.hypot(sin_oil[:, None], sin_oil)
    sin_water = sin_oil * optics.n_oil / optics.n_water
    open_pupil = (sin_oil < optics.numerical_aperture / optics.n_oil) & (sin_water < 1)
    k = 2 * np.pi / optics.wavelength_um
    lateral = k * optics.magnification * (np.arange(n) - n // 2) * optics.slm_pixel_um / optics.focal_length_um
    x, y, z = xyz_um
    phase = mask + x * lateral[None, :] + y * lateral[:, None]
    phase = phase + z * k * optics.n_water * np.sqrt(np.where(open_pupil, 1 - sin_water**2, 0))
    phase = phase - volume.focus_um * k * optics.n_oil * np.sqrt(np.where(open_pupil, 1 - sin_oil**2, 0))
    field = np.pad(open_pupil * np.exp(1j * phase), padding)
    power = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(field)))) ** 2
    power *= photons / power.sum()
    top, left = power.shape[0] // 2 - volume.height_px // 2, power.shape[1] // 2 - volume.width_px // 2
    return power[top : top + volume.height_px, left : left + volume.width_px]


def blur(image, sigma_px):
    """Convolve with the unnormalised 9×9 Gaussian, zero outside."""
    t = np.arange(-4, 5)
    kernel = np.exp(-(t[:, None] ** 2 + t**2) / (2 * sigma_px**2)) / (2 * np.pi * sigma_px**2)
    return correlate(image, kernel, mode="constant")


def relative_l2(got, wanted):
    """Return |got - wanted| / |wanted|."""
    return float(np.linalg.norm(np.asarray(got, np.float64) - wanted) / np.linalg.norm(wanted))
