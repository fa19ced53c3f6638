"""Lone and overlapping emitters of a frame by the setup's own images: places and photons, without a network.

Orthogonal matching pursuit (Pati, Rezaiifar & Krishnaprasad, Asilomar 1993): the image that explains the residual
best is added, all photons are fitted again, until nothing stands out. Each emitter brings its image's derivatives
along, so that the grid of heights and whole pixels may be coarse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter

from ds3d_tf.setup import Setup

HEIGHT_STEP_UM = 0.15
LARGEST_HALF_SIZE_PX = 30
KEPT_ENERGY = 0.999
SMALLEST_CONTRAST = 7.0
MOST_EMITTERS = 80
MOST_ROUNDS = 30
# What the images may be wrong by, as a share of the light: no emitter is believed in the shade of a bright one.
MODEL_ERROR = 0.1
# Half a wave of the finest background, pixels: finer ones would take the emitters' own light.
FINEST_BACKGROUND_PX = 16
# What lies in the light of brighter ones, this share of its own energy, may be made up by the images' errors.
LARGEST_SHADE = 0.5
# An emitter stands alone if no other image, were it as bright, would overlap with its own by this share.
LARGEST_OVERLAP = 0.15
_LARGEST_MOVE = 2

Place = tuple[int, int, int]  # row, column, index of the height


@dataclass(frozen=True, eq=False)
class FoundEmitters:
    """Emitters of a frame, in no order.

    Attributes:
        places: int ``[K, 2]`` (row, column), pixels.
        z_um: float64 ``[K]``, µm.
        photons: float64 ``[K]``, counts.
        real: bool ``[K]``, no unit; False in the shade of brighter ones, where the images' errors look like emitters.
        alone: bool ``[K]``, no unit; True for real ones whose images hardly overlap with others.
        misfit: float64 ``[K]``, what is left where each one shines, noise taken off, as a share of its own energy.
        model: float64 ``[H, W]``, their light, counts.
        residual: float64 ``[H, W]``, what neither they nor a smooth background explain, counts.
    """

    places: np.ndarray
    z_um: np.ndarray
    photons: np.ndarray
    real: np.ndarray
    alone: np.ndarray
    misfit: np.ndarray
    model: np.ndarray
    residual: np.ndarray


class EmitterSearch:
    """Finds emitters in frames of one size by the images that a setup's renderer makes.

    Args:
        setup: the ``Setup``: optics, mask, depth range, blur.
        frame_shape: (H, W) of the frames, pixels.

    Raises InputError if the setup's mask cannot be used.
    """

    def __init__(self, setup: Setup, frame_shape: tuple[int, int]) -> None:
        self.frame_shape = frame_shape
        self._pixel_um = setup.optics.pixel_um
        self._z_um, self._images = _images_and_derivatives(setup)
        self.half_size_px = half = self._images.shape[-1] // 2
        templates = self._images[:, 0] - self._images[:, 0].mean(axis=(1, 2), keepdims=True)
        norms = np.sqrt((templates**2).sum(axis=(1, 2)))
        self.faintest_norm = float(norms.min())
        self._spread_px = 1 / float(np.median(norms))  # pixels over which an image spreads, their root
        self._padded = tuple(next_fast_len(size + 2 * half, real=True) for size in frame_shape)
        kernels = np.zeros((len(norms), *self._padded), np.float32)
        kernels[:, : 2 * half + 1, : 2 * half + 1] = templates / norms[:, None, None]
        self._spectra = np.conj(rfft2(np.roll(kernels, (-half, -half), axis=(1, 2))))
        waves = [
            np.cos(np.pi * np.outer(np.arange(max(size // FINEST_BACKGROUND_PX, 1) + 1), np.arange(size) + 0.5) / size)
            for size in frame_shape
        ]
        self._smooth = np.einsum("ay,bx->abyx", *waves).reshape(-1, frame_shape[0] * frame_shape[1])

    def find(self, frame: np.ndarray, noise: float) -> FoundEmitters:
        """Return the emitters of a frame.

        Args:
            frame: float ``[H, W]``, counts.
            noise: standard deviation of the pixels without emitters, counts.
        """
        frame = np.asarray(frame, np.float64)
        light = np.maximum(gaussian_filter(frame, 1.5) - np.percentile(frame, 20), 0)
        weights = 1 / np.sqrt(noise**2 + light).ravel()
        emitters: list[Place] = []
        photons, _, model, residual = self._fit(frame, weights, emitters)
        reach = 2 * (self.half_size_px // 2) + 1
        allowed = np.ones(self.frame_shape, bool)
        for _ in range(MOST_ROUNDS):
            shade = uniform_filter(model, self.half_size_px)
            doubt = np.sqrt(noise**2 + np.maximum(shade, 0) + (MODEL_ERROR * shade * self._spread_px) ** 2)
            contrast = self._contrast(residual) / doubt
            best, height = contrast.max(axis=0), contrast.argmax(axis=0)
            best[~allowed] = 0
            peaks = (best == maximum_filter(best, reach)) & (best > max(SMALLEST_CONTRAST, 0.5 * best.max()))
            if not peaks.any() or len(emitters) >= MOST_EMITTERS:
                break
            emitters += [(int(r), int(c), int(height[r, c])) for r, c in zip(*np.nonzero(peaks), strict=True)]
            photons, shifts, _, _ = self._fit(frame, weights, emitters)
            kept = photons > 0.5 * SMALLEST_CONTRAST * noise / self.faintest_norm
            for row, column, _ in (e for e, keep in zip(emitters, kept, strict=True) if not keep):
                allowed[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = False
            emitters = [self._moved(e, shift) for e, shift, keep in zip(emitters, shifts, kept, strict=True) if keep]
            photons, _, model, residual = self._fit(frame, weights, emitters)
        places = np.array([e[:2] for e in emitters], int).reshape(-1, 2)
        real, alone, misfit = self._credible(emitters, photons, residual, noise)
        return FoundEmitters(
            places, self._z_um[[e[2] for e in emitters]], photons, real, alone, misfit, model, residual
        )

    def _credible(
        self, emitters: list[Place], photons: np.ndarray, residual: np.ndarray, noise: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``[K]`` each: not in the shade of brighter ones; of these, those that stand alone; misfit."""
        if not emitters:
            return np.zeros(0, bool), np.zeros(0, bool), np.zeros(0)
        light = np.maximum([flux * self._columns(e)[0] for e, flux in zip(emitters, photons, strict=True)], 0)
        energy = light @ light.T  # [i, j]: how much of emitter i's light falls where j shines
        own = np.maximum(np.diag(energy), 1e-12)
        brighter = photons[None, :] > photons[:, None]
        real = (energy * brighter).sum(axis=1) < LARGEST_SHADE * own
        flux = np.maximum(photons, 1e-12)
        overlap = energy / own[:, None] * (flux[:, None] / flux[None, :])
        np.fill_diagonal(overlap, 0)
        excess = residual.ravel() ** 2 - noise**2 - light.sum(axis=0)
        misfit = (light @ excess) / np.maximum((light**3).sum(axis=1), 1e-12)
        return real, real & (np.max(overlap * real[None, :], axis=1) < LARGEST_OVERLAP), misfit

    def _contrast(self, residual: np.ndarray) -> np.ndarray:
        """Return ``[Z, H, W]``: how much of each template the residual holds at each pixel, counts."""
        half = self.half_size_px
        spectrum = rfft2(np.pad(residual, half).astype(np.float32), self._padded)
        whole = irfft2(spectrum * self._spectra, self._padded)
        return whole[:, half : half + self.frame_shape[0], half : half + self.frame_shape[1]]

    def _fit(
        self, frame: np.ndarray, weights: np.ndarray, emitters: list[Place]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return photons ``[K]``, shifts ``[K, 3]`` (x, y, z, µm), light ``[H, W]`` and residual of a joint fit."""
        columns = np.concatenate([*(self._columns(e) for e in emitters), self._smooth])
        weighted = columns * weights
        gram = weighted @ weighted.T
        gram[np.diag_indices_from(gram)] *= 1 + 1e-9
        solution = np.linalg.solve(gram, weighted @ (frame.ravel() * weights))
        own = solution[: 4 * len(emitters)]
        values = own.reshape(-1, 4)
        shifts = values[:, 1:] / np.maximum(values[:, :1], 1.0)
        model = (own @ columns[: len(own)]).reshape(frame.shape)
        background = (solution[len(own) :] @ self._smooth).reshape(frame.shape)
        return values[:, 0], shifts, model, frame - model - background

    def _columns(self, emitter: Place) -> np.ndarray:
        """Return image and derivatives of an emitter in the frame, ``[4, H W]``."""
        row, column, height = emitter
        half, (rows, cols) = self.half_size_px, self.frame_shape
        out = np.zeros((4, rows, cols))
        top, left = max(0, row - half), max(0, column - half)
        bottom, right = min(rows, row + half + 1), min(cols, column + half + 1)
        out[:, top:bottom, left:right] = self._images[height][
            :, top - row + half : bottom - row + half, left - column + half : right - column + half
        ]
        return out.reshape(4, -1)

    def _moved(self, emitter: Place, shift_um: np.ndarray) -> Place:
        steps = shift_um / (self._pixel_um, self._pixel_um, self._z_um[1] - self._z_um[0])
        dx, dy, dz = np.clip(steps, -_LARGEST_MOVE, _LARGEST_MOVE).round().astype(int)
        limits = (*self.frame_shape, len(self._z_um))
        moved = (emitter[0] + dy, emitter[1] + dx, emitter[2] + dz)
        row, column, height = (int(np.clip(m, 0, limit - 1)) for m, limit in zip(moved, limits, strict=True))
        return row, column, height


def _images_and_derivatives(setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """Return heights ``[Z]`` (µm) and ``[Z, 4, h, h]``: an emitter's image and its derivatives in x, y, z (1/µm)."""
    import tensorflow as tf

    from ds3d_tf.optics.crlb import image_derivatives
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer

    half = LARGEST_HALF_SIZE_PX
    volume = setup.volume.model_copy(update={"height_px": 2 * half + 1, "width_px": 2 * half + 1})
    renderer = exact_renderer(setup.optics, volume, load_mask(setup))
    count = max(2, round((volume.z_max_um - volume.z_min_um) / HEIGHT_STEP_UM) + 1)
    z_um = np.linspace(volume.z_min_um, volume.z_max_um, count)
    blur = float(np.mean(setup.blur.sigma_range_px))
    parts = []
    for begin in range(0, count, 8):
        z = z_um[begin : begin + 8]
        images, slopes = image_derivatives(
            renderer, tf.constant(np.stack([0 * z, 0 * z, z], axis=1)), tf.constant(np.full(len(z), blur))
        )
        parts.append(np.concatenate([images.numpy()[:, None], np.moveaxis(slopes.numpy(), 0, 1)], axis=1))
    images = np.concatenate(parts).astype(np.float64)
    # the smallest square that holds (nearly) all the energy at every height
    place = np.abs(np.arange(2 * half + 1) - half)
    ring = np.maximum.outer(place, place)
    energy = images[:, 0] ** 2
    inside = np.stack([(energy * (ring <= r)).sum(axis=(1, 2)) for r in range(half + 1)]) / energy.sum(axis=(1, 2))
    kept = max(int(np.argmax(inside.min(axis=1) >= KEPT_ENERGY)), 4)
    return z_um, images[:, :, half - kept : half + kept + 1, half - kept : half + kept + 1]
