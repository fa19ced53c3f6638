"""What a frame allows: the joint Cramér–Rao bound of all its emitters, errors beside it, and pulls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.optics.crlb import LocalizationBound, Renderer, bound_variances, image_derivatives

_PER_EMITTER = 4


@dataclass(frozen=True)
class BoundRatio:
    """Errors of matched pairs over their bound; 1 is the limit of unbiased estimates.

    Attributes:
        lateral: root mean square of the lateral errors over that of the lateral bounds, no unit.
        axial: the same along z, no unit.
        median_lateral: median lateral error over the median of what the bounds let one expect, no unit.
        median_axial: the same along z, no unit.
    """

    lateral: float
    axial: float
    median_lateral: float
    median_axial: float


@dataclass(frozen=True, eq=False)
class Pulls:
    """Errors over stated standard deviations: how far uncertainties can be trusted.

    Attributes:
        standard_deviation: float64 ``[3]`` (x, y, z), no unit; 1 for true uncertainties.
        within_one: float64 ``[3]``, share of the pulls within 1, no unit; .68 for true, Gaussian uncertainties.
        within_two: float64 ``[3]``, share within 2, no unit; .95 likewise.
    """

    standard_deviation: np.ndarray
    within_one: np.ndarray
    within_two: np.ndarray


def joint_bound(
    renderer: Renderer,
    xyz_um: ArrayLike,
    photons: ArrayLike,
    *,
    background: ArrayLike = 0.0,
    read_noise: ArrayLike = 0.0,
    blur_sigma_px: ArrayLike = 1.0,
    efficiency: float = 1.0,
    chunk_emitters: int = 8,
) -> LocalizationBound:
    """Return the Cramér–Rao bound of all emitters of one frame together.

    Unknown are x, y, z and photons of each emitter and the level of the background; its shape and the blurs are known.
    Read noise counts as Poisson noise (Huang et al., Nature Methods 10, 653, 2013).

    Args:
        renderer: an exact renderer (scalar or vectorial) of the frame's size.
        xyz_um: float ``[E, 3]`` (x, y, z), µm.
        photons: float ``[E]`` or a number, photons.
        background: float ``[H, W]`` or a number, expected counts of a pixel.
        read_noise: float ``[H, W]`` or a number, standard deviation, counts.
        blur_sigma_px: float ``[E]`` or a number, camera pixels.
        efficiency: share of the photons' information that the camera keeps, no unit (``Camera.efficiency``).
        chunk_emitters: emitters rendered at a time.

    Raises InputError if ``xyz_um`` is not an ``[E, 3]`` array, or if background and read noise are both 0 somewhere
    (dark pixels would carry infinite information).
    """
    positions = np.asarray(xyz_um, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise InputError(f"{argument('xyz_um')}: expected [E, 3] (x, y, z), got shape {positions.shape}")
    noise = np.asarray(background, np.float64) + np.asarray(read_noise, np.float64) ** 2
    if np.any(noise <= 0):
        raise InputError(f"{argument('background')}: expected it, or the read noise, to be above 0 in every pixel")
    count = len(positions)
    if not count:
        return LocalizationBound(*(np.zeros(0) for _ in range(5)))
    flux, blur = (np.broadcast_to(np.asarray(value, np.float64), (count,)) for value in (photons, blur_sigma_px))
    variance, slopes = np.asarray(noise), []
    for begin in range(0, count, chunk_emitters):
        part = slice(begin, begin + chunk_emitters)
        images, derivatives = image_derivatives(renderer, tf.constant(positions[part]), tf.constant(blur[part]))
        own = np.concatenate([derivatives.numpy() * flux[part, None, None], images.numpy()[None]])
        variance = variance + np.tensordot(flux[part], own[-1].astype(np.float64), 1)
        slopes.append(own.swapaxes(0, 1))
    jacobian = np.concatenate(slopes).reshape(count * _PER_EMITTER, -1).astype(np.float64)
    jacobian = np.concatenate([jacobian, np.ones((1, jacobian.shape[1]))])
    information = efficiency * ((jacobian / variance.ravel()) @ jacobian.T)
    sigma = np.sqrt(bound_variances(tf.constant(information[None])).numpy()[0])
    x, y, z, brightness = sigma[:-1].reshape(count, _PER_EMITTER).T
    return LocalizationBound(1000 * x, 1000 * y, 1000 * z, brightness, np.full(count, sigma[-1]))


def bound_ratio(error_nm: np.ndarray, bound_nm: np.ndarray) -> BoundRatio:
    """Return errors of matched pairs over their bounds.

    Where errors are Gaussian with the bound's standard deviations, all four figures tend to 1.

    Args:
        error_nm: float ``[P, 3]`` (x, y, z), localization minus emitter, nm.
        bound_nm: float ``[P, 3]`` (x, y, z), smallest standard deviations of the same pairs, nm.

    Raises InputError if the shapes differ or there is no pair.
    """
    error, bound = _pairs(error_nm, bound_nm, "bound_nm")
    square_error, square_bound = error**2, bound**2
    lateral = np.sqrt(square_error[:, :2].sum() / square_bound[:, :2].sum())
    axial = np.sqrt(square_error[:, 2].sum() / square_bound[:, 2].sum())
    # |N(0, 1)| has the median .6745; the length of two such errors has sqrt(2 ln 2) of their (equal) deviations.
    lateral_sigma = np.sqrt(square_bound[:, :2].sum(axis=1) / 2)
    median_lateral = np.median(np.hypot(error[:, 0], error[:, 1])) / (np.median(lateral_sigma) * np.sqrt(2 * np.log(2)))
    median_axial = np.median(np.abs(error[:, 2])) / (np.median(bound[:, 2]) * 0.674490)
    return BoundRatio(float(lateral), float(axial), float(median_lateral), float(median_axial))


def pulls(error_nm: np.ndarray, sigma_nm: np.ndarray) -> Pulls:
    """Return the spread of errors over stated uncertainties.

    Args:
        error_nm: float ``[P, 3]`` (x, y, z), localization minus emitter, nm.
        sigma_nm: float ``[P, 3]`` (x, y, z), stated standard deviations, nm.

    Raises InputError if the shapes differ or there is no pair.
    """
    error, sigma = _pairs(error_nm, sigma_nm, "sigma_nm")
    pull = error / sigma
    size = np.abs(pull)
    return Pulls(np.sqrt(np.mean(pull**2, axis=0)), np.mean(size <= 1, axis=0), np.mean(size <= 2, axis=0))


def _pairs(error_nm: np.ndarray, other_nm: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    error, other = np.asarray(error_nm, np.float64), np.asarray(other_nm, np.float64)
    if error.ndim != 2 or error.shape[1] != 3 or not len(error):
        raise InputError(f"{argument('error_nm')}: expected [P, 3] with at least one pair, got shape {error.shape}")
    if other.shape != error.shape:
        raise InputError(f"{argument(name)}: expected the shape {error.shape} of the errors, got {other.shape}")
    if not np.all(other > 0):
        raise InputError(f"{argument(name)}: expected standard deviations above 0")
    return error, other
