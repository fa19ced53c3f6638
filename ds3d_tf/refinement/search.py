"""The search: a matched filter over x, y and z of what a fit leaves unexplained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter

from ds3d_tf.refinement.fit import Fit
from ds3d_tf.refinement.images import ImageModel, LocalImages
from ds3d_tf.refinement.scene import Scene

# Neighbouring templates are at most this unlike: 1 - cosine of the angle between them.
_MAX_UNLIKE = 0.08
_TOLERANCE = 0.03


@dataclass(frozen=True, eq=False)
class Templates:
    """Images at some depths and their squares as a few Fourier transforms, for frames of one shape.

    Attributes:
        z_um: float64 ``[Z]``, depths, µm.
        fourier_px: (rows, columns) of the transforms, pixels.
        spectra: complex64 ``[R, rows, columns / 2 + 1]``, conjugate transforms of the basis images, photons.
        coefficients: float32 ``[Z, R]``, no unit.
        square_spectra: complex64 ``[S, rows, columns / 2 + 1]``, the same of the basis of squared images, photons².
        square_coefficients: float32 ``[Z, S]``, no unit.
    """

    z_um: np.ndarray
    fourier_px: tuple[int, int]
    spectra: np.ndarray
    coefficients: np.ndarray
    square_spectra: np.ndarray
    square_coefficients: np.ndarray


@dataclass(frozen=True, eq=False)
class Candidates:
    """Possible emitters, the most significant first.

    Attributes:
        emitters: float64 ``[C, 5]`` (x, y, z in µm, photons, blur in pixels).
        snr: float64 ``[C]``, photons over their standard deviation if all else were known, no unit.
    """

    emitters: np.ndarray
    snr: np.ndarray


@lru_cache(maxsize=16)
def templates(model: ImageModel, shape: tuple[int, int], blur_px: float) -> Templates:
    """Return the templates of a model for frames of ``shape`` (H, W) in pixels with emitters of ``blur_px``."""
    images = model.core
    z_um = _depths(images, blur_px)
    planes = images.images(np.stack([0 * z_um, 0 * z_um, z_um], axis=1), np.full(len(z_um), blur_px))
    size = tuple(scipy.fft.next_fast_len(max(n + images.half_px, images.window_px), real=True) for n in shape)
    parts = [_compressed(values, size) for values in (planes, planes**2)]
    return Templates(z_um, (size[0], size[1]), *parts[0], *parts[1])


def signal_to_noise(
    scene: Scene, fit: Fit, table: Templates, denominator: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the matched filter's signal-to-noise ratio and the standard deviation of photons.

    The residual over the variance, correlated with the image of one photon, over the square root of the correlation
    of 1 / variance with its square: the score of a new emitter's photons over its standard deviation, all else known.

    Args:
        scene: the frame.
        fit: its present explanation.
        table: templates for the scene's shape.
        denominator: the square roots, float32 ``[Z, H, W]``, 1/photon, if they are known from before.

    Returns:
        ratio float32 ``[Z, H, W]``, no unit; square roots float32 ``[Z, H, W]``, 1/photon.
    """
    weights = scene.frame.valid / scene.frame.variance(fit.mean)
    numerator = _correlate((scene.frame.data - fit.mean) * weights, table.spectra, table.coefficients, table)
    if denominator is None:
        squares = _correlate(weights, table.square_spectra, table.square_coefficients, table)
        denominator = np.sqrt(np.maximum(squares, 1e-4 * float(squares.max(initial=0)) + 1e-30))
    return numerator / denominator, denominator


def candidates(
    scene: Scene,
    table: Templates,
    ratio: np.ndarray,
    denominator: np.ndarray,
    threshold: float,
    *,
    max_count: int,
    distance_px: int,
    near: tuple[np.ndarray, float] | None = None,
) -> Candidates:
    """Return the peaks of the signal-to-noise ratio, at most one within ``distance_px`` pixels.

    Args:
        scene: the frame.
        table: templates for the scene's shape.
        ratio: float32 ``[Z, H, W]``, of :func:`signal_to_noise`, no unit.
        denominator: float32 ``[Z, H, W]``, 1/photon.
        threshold: smallest ratio.
        max_count: peaks at most.
        distance_px: half the side of the square in which a peak is the highest at any depth, pixels.
        near: (row, column) float ``[2]`` in pixels and the largest distance from it, pixels; None: anywhere.
    """
    best = ratio.argmax(axis=0)
    highest = np.take_along_axis(ratio, best[None], axis=0)[0]
    if near is not None:
        rows, columns = np.ogrid[: highest.shape[0], : highest.shape[1]]
        far = (rows - near[0][0]) ** 2 + (columns - near[0][1]) ** 2 > near[1] ** 2
        highest = np.where(far, -np.inf, highest)
    peaks = (highest >= threshold) & (highest == maximum_filter(highest, 2 * distance_px + 1, mode="nearest"))
    row, column = np.nonzero(peaks)
    order = np.lexsort((column, row, -highest[row, column]))[:max_count]
    row, column = row[order], column[order]
    depth = best[row, column]
    emitters = np.zeros((len(order), 5))
    for axis, index, size in ((0, depth, len(table.z_um)), (1, row, ratio.shape[1]), (2, column, ratio.shape[2])):
        emitters[:, axis] = index + _vertex(ratio, (depth, row, column), axis, size)
    scale = 1 / scene.model.core.pixels_per_um
    z_um = np.interp(emitters[:, 0], np.arange(len(table.z_um)), table.z_um)
    y_um, x_um = (emitters[:, 1] - scene.centre_px[0]) * scale, (emitters[:, 2] - scene.centre_px[1]) * scale
    snr = highest[row, column].astype(np.float64)
    photons = snr / denominator[depth, row, column]
    return Candidates(np.stack([x_um, y_um, z_um, photons, np.full(len(order), scene.blur_px)], axis=1), snr)


def _vertex(ratio: np.ndarray, place: tuple[np.ndarray, ...], axis: int, size: int) -> np.ndarray:
    """Return where the parabola through a peak and its two neighbours along an axis is highest, relative to it."""
    index = list(place)
    values = []
    for shift in (-1, 0, 1):
        index[axis] = np.clip(place[axis] + shift, 0, size - 1)
        values.append(ratio[tuple(index)].astype(np.float64))
    left, middle, right = values
    bend = left + right - 2 * middle
    inside = (place[axis] > 0) & (place[axis] < size - 1) & (bend < 0)
    return np.where(inside, np.clip((left - right) / np.where(inside, 2 * bend, 1), -0.5, 0.5), 0.0)


def _correlate(field: np.ndarray, spectra: np.ndarray, coefficients: np.ndarray, table: Templates) -> np.ndarray:
    """Return the correlation of a frame with the images: float32 ``[Z, H, W]``."""
    transform = scipy.fft.rfft2(field.astype(np.float32), s=table.fourier_px)
    products = scipy.fft.irfft2(spectra * transform, s=table.fourier_px, overwrite_x=True)
    height, width = field.shape
    products = np.ascontiguousarray(products[:, :height, :width]).reshape(len(spectra), -1)
    return (coefficients @ products).reshape(-1, height, width)


def _compressed(planes: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the conjugate transforms of a basis of the planes ``[Z, W, W]`` and their coefficients in it."""
    window = planes.shape[1]
    flat = planes.reshape(len(planes), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh((flat / norms) @ (flat / norms).T)
    vectors = vectors[:, ::-1]
    left_out = 1 - np.cumsum((vectors * np.sqrt(values[::-1].clip(0))) ** 2, axis=1)
    vectors = vectors[:, : int(np.argmax(left_out.max(axis=0) <= _TOLERANCE**2)) + 1]
    basis = (vectors.T @ (flat / norms)).reshape(-1, window, window)
    padded = np.zeros((len(basis), *size))
    padded[:, :window, :window] = basis
    centred = np.roll(padded, (-(window // 2), -(window // 2)), axis=(1, 2))
    return np.conj(np.fft.rfft2(centred)).astype(np.complex64), (vectors * norms).astype(np.float32)


def _depths(images: LocalImages, blur_px: float) -> np.ndarray:
    """Return depths from one end of the range to the other, closer together where the image changes faster."""
    fine = np.linspace(*images.z_range_um, 2 + int((images.z_range_um[1] - images.z_range_um[0]) / 0.01))
    planes = images.images(np.stack([0 * fine, 0 * fine, fine], axis=1), np.full(len(fine), blur_px))
    flat = planes.reshape(len(fine), -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    # The angle between neighbours, added up, is the length of the curve that the images describe.
    angle = np.arccos(np.clip(np.sum(flat[1:] * flat[:-1], axis=1), -1, 1))
    length = np.concatenate([[0], np.cumsum(np.maximum(angle, 1e-6))])
    count = max(int(np.ceil(length[-1] / np.arccos(1 - _MAX_UNLIKE))) + 1, 3)
    return np.interp(np.linspace(0, length[-1], count), length, fine)
