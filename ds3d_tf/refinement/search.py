"""The search: a matched filter over x, y and z of what a fit leaves unexplained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter

from ds3d_tf.refinement.background import spline_background
from ds3d_tf.refinement.fit import Fit
from ds3d_tf.refinement.images import ImageModel, LocalImages
from ds3d_tf.refinement.scene import Scene

# Neighbouring templates are at most this unlike: 1 - cosine of the angle between them.
_MAX_UNLIKE = 0.08
_TOLERANCE = 0.03
_SHARE_STEP_PX = 8
_RIDGE, _MIN_SHARE = 1e-6, 0.05


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
        own_share: float32 ``[Z, H, W]``, share of an image's Σ h² that no fitted background can take, no unit.
    """

    z_um: np.ndarray
    fourier_px: tuple[int, int]
    spectra: np.ndarray
    coefficients: np.ndarray
    square_spectra: np.ndarray
    square_coefficients: np.ndarray
    own_share: np.ndarray


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
def templates(model: ImageModel, shape: tuple[int, int], blur_px: float, stiffness: float = 0.0) -> Templates:
    """Return the templates of a model for frames of a shape.

    Args:
        model: images of the emitters.
        shape: (H, W) of the frames, pixels.
        blur_px: blur of the emitters, standard deviation, pixels.
        stiffness: penalty on the background's roughness over the weight of a pixel, no unit.
    """
    images = model.core
    z_um = _depths(images, blur_px)
    planes = images.images(np.stack([0 * z_um, 0 * z_um, z_um], axis=1), np.full(len(z_um), blur_px))
    size = tuple(scipy.fft.next_fast_len(max(n + images.half_px, images.window_px), real=True) for n in shape)
    parts = [_compressed(values, size) for values in (planes, planes**2)]
    return Templates(z_um, (size[0], size[1]), *parts[0], *parts[1], _own_share(planes, shape, stiffness))


def signal_to_noise(
    scene: Scene, fit: Fit, table: Templates, expected: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the matched filter's signal-to-noise ratio and the standard deviation of photons.

    The residual over the variance, correlated with the image of one photon, over the square root of the correlation
    of 1 / variance with its square: the score of a new emitter's photons over its standard deviation, the background
    fitted and all else known.

    Args:
        scene: the frame.
        fit: its present explanation.
        table: templates for the scene's shape.
        expected: float32 ``[H, W]``, expected photoelectrons a pixel, for the variance, where light is known to be
            that the explanation lacks; None: the explanation's.

    Returns:
        ratio float32 ``[Z, H, W]``, no unit; square roots float32 ``[Z, H, W]``, 1/photon.
    """
    weights = scene.frame.valid / scene.frame.variance(fit.mean if expected is None else expected)
    numerator = _correlate((scene.frame.data - fit.mean) * weights, table.spectra, table.coefficients, table)
    squares = _correlate(weights, table.square_spectra, table.square_coefficients, table)
    least = 1e-4 * float(squares.max(initial=0)) + 1e-30
    denominator = np.sqrt(np.maximum(squares, least) * table.own_share)
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


def _own_share(planes: np.ndarray, shape: tuple[int, int], stiffness: float) -> np.ndarray:
    """Return ``[Z, H, W]``: what the background's B-splines leave of images ``[Z, W, W]`` centred at each pixel.

    Equal weights of all pixels stand for the frame's own; places between a coarse grid are interpolated.
    """
    spline, half = spline_background(*shape), planes.shape[1] // 2
    gram = spline.gram(np.ones(shape, np.float32)).astype(np.float64) + stiffness * spline.roughness
    inverse = np.linalg.inv(gram + _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)))
    grids = [np.unique(np.r_[np.arange(0, size, _SHARE_STEP_PX), size - 1]) for size in shape]
    coarse = np.empty((len(planes), len(grids[0]), len(grids[1])))
    for i, row in enumerate(grids[0]):
        rows, inner_rows = _overlap(int(row), half, shape[0])
        for j, column in enumerate(grids[1]):
            columns, inner_columns = _overlap(int(column), half, shape[1])
            seen = planes[:, inner_rows, inner_columns]
            sums = spline.rows[:, rows] @ seen @ spline.columns[:, columns].T
            flat = sums.reshape(len(planes), -1).astype(np.float64)
            taken = np.sum((flat @ inverse) * flat, axis=1)
            coarse[:, i, j] = 1 - taken / np.maximum(np.sum(seen.astype(np.float64) ** 2, axis=(1, 2)), 1e-30)
    down, across = (
        np.stack([np.interp(np.arange(size), grid, unit) for unit in np.eye(len(grid))], axis=1)
        for grid, size in zip(grids, shape, strict=True)
    )
    return np.clip(down @ coarse @ across.T, _MIN_SHARE, 1).astype(np.float32)


def _overlap(centre: int, half: int, size: int) -> tuple[slice, slice]:
    """Return what a window covers along an axis of a frame, and the same within the window."""
    first, last = max(centre - half, 0), min(centre + half + 1, size)
    return slice(first, last), slice(first - centre + half, last - centre + half)


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
