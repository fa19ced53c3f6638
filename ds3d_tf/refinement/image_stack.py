"""Images of an emitter at many depths from the exact renderer, and the windows that hold them."""

from __future__ import annotations

import numpy as np
import scipy.fft

from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.setup.sections import OpticsSection, VolumeSection

CORE_ENERGY, WIDE_ENERGY = 0.985, 1 - 3e-4
MIN_WINDOW_PX = 25
_TAPER_PX = 4
_PLANES_AT_A_TIME = 16


def oversampled_stack(
    optics: OpticsSection,
    volume: VolumeSection,
    mask: np.ndarray,
    z_um: np.ndarray,
    size_px: int,
    oversampling: int,
    pixels_per_um: float,
) -> np.ndarray:
    """Return images at x = y = 0 sampled q times a pixel, unblurred.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section (depth range and focus).
        mask: float64 ``[N, N]``, phase mask, rad.
        z_um: float64 ``[Z]``, depths, µm.
        size_px: camera pixels along a side.
        oversampling: q, samples along a camera pixel.
        pixels_per_um: camera pixels by which an image moves for 1 µm.

    Returns:
        float32 ``[Z, q size, q size]``, the photons in a camera pixel centred at each sample.
    """
    stack = volume.model_copy(update={"height_px": size_px, "width_px": size_px})
    renderer = exact_renderer(optics, stack, mask)
    result = np.empty((len(z_um), size_px, oversampling, size_px, oversampling), np.float32)
    for row in range(oversampling):
        for column in range(oversampling):
            for begin in range(0, len(z_um), _PLANES_AT_A_TIME):
                z = z_um[begin : begin + _PLANES_AT_A_TIME]
                y, x = (0 * z - shift / (oversampling * pixels_per_um) for shift in (row, column))
                images = renderer.psf(np.stack([x, y, z], axis=1), np.ones(len(z))).numpy()
                result[begin : begin + len(z), :, row, :, column] = images
    return result.reshape(len(z_um), size_px * oversampling, size_px * oversampling)


def window_sizes(stack: np.ndarray) -> tuple[int, int]:
    """Return the sides of the core and the wide window, pixels: odd, good for Fourier transforms.

    They are the smallest that hold CORE_ENERGY and WIDE_ENERGY of Σ h² at every depth.

    Args:
        stack: float32 ``[Z, W, W]``, images of one photon, photons.
    """
    largest = stack.shape[1]
    away = np.abs(np.arange(largest) - largest // 2)
    ring = np.maximum(away[:, None], away).ravel()
    energy = np.stack([np.bincount(ring, plane.ravel().astype(np.float64) ** 2) for plane in stack])
    inside = (np.cumsum(energy, axis=1) / energy.sum(axis=1, keepdims=True)).min(axis=0)
    sizes = []
    for wanted in (CORE_ENERGY, WIDE_ENERGY):
        least = max(2 * (int(np.argmax(inside >= wanted)) + _TAPER_PX) + 1, MIN_WINDOW_PX)
        good = [n for n in range(least, largest) if n % 2 and scipy.fft.next_fast_len(n, real=True) == n]
        sizes.append(good[0] if good else largest)
    return sizes[0], sizes[1]


def cut(stack: np.ndarray, window_px: int, oversampling: int, fade: bool) -> np.ndarray:
    """Return a stack's middle, float32 ``[Z, q window, q window]``, photons.

    It fades to 0 over the last pixels if ``fade``, so that a shifted image does not ring.

    Args:
        stack: float32 ``[Z, q size, q size]``, images, photons.
        window_px: camera pixels along a side of the middle.
        oversampling: q, samples along a camera pixel.
        fade: whether it fades; not where the window is the whole period of the Fourier transform.
    """
    largest = stack.shape[1] // oversampling
    middle = slice((largest // 2 - window_px // 2) * oversampling, (largest // 2 + window_px // 2 + 1) * oversampling)
    stack = stack[:, middle, middle]
    if not fade:
        return stack
    samples = np.arange(window_px * oversampling) / oversampling - window_px // 2
    beyond = np.abs(samples) - (window_px // 2 - _TAPER_PX)
    taper = np.cos(np.pi / 2 * np.clip(beyond / (_TAPER_PX + 1), 0, 1)) ** 2
    return stack * (taper[:, None] * taper).astype(np.float32)
