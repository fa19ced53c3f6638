"""Cramér–Rao bound: the best precision with which an emitter can be localized, from the renderer's derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

PARAMETERS = ("x", "y", "z", "photons", "background")


class Renderer(Protocol):
    """What the bound needs of a renderer: images of lone emitters, differentiable in their positions."""

    def psf(
        self,
        xyz_um: tf.Tensor,
        photons: tf.Tensor,
        blur_sigma_px: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return each emitter's image, float ``[E, H, W]``, counts.

        Args:
            xyz_um: float ``[E, 3]`` (x, y, z), µm.
            photons: float ``[E]``, photons.
            blur_sigma_px: float ``[E]``, camera pixels; None: no blur.
            mask: float ``[N, N]``, rad, instead of the renderer's own.
        """


@dataclass(frozen=True)
class LocalizationBound:
    """Smallest standard deviations of unbiased estimates, one value an emitter.

    Attributes:
        x_nm: float64 ``[E]``, nm.
        y_nm: float64 ``[E]``, nm.
        z_nm: float64 ``[E]``, nm.
        photons: float64 ``[E]``, photons.
        background: float64 ``[E]``, counts a pixel.
    """

    x_nm: np.ndarray
    y_nm: np.ndarray
    z_nm: np.ndarray
    photons: np.ndarray
    background: np.ndarray

    @property
    def lateral_nm(self) -> np.ndarray:
        """Both lateral axes together, sqrt(x² + y²) as in the lateral RMSE: float64 ``[E]``, nm."""
        lateral: np.ndarray = np.hypot(self.x_nm, self.y_nm)
        return lateral


def image_derivatives(
    renderer: Renderer, xyz_um: tf.Tensor, blur_sigma_px: tf.Tensor, mask_rad: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return lone emitters' images of one photon and their derivatives, by forward differentiation.

    Args:
        renderer: an exact renderer.
        xyz_um: float ``[E, 3]`` (x, y, z), µm.
        blur_sigma_px: float ``[E]``, camera pixels.
        mask_rad: float ``[N, N]`` (rows along y, columns along x), rad, instead of the renderer's own mask.

    Returns:
        images float ``[E, H, W]`` (fraction of the photons in each pixel) and their derivatives with respect to
        (x, y, z) float ``[3, E, H, W]``, 1/µm.
    """
    xyz_um = tf.convert_to_tensor(xyz_um)
    photons = tf.ones(tf.shape(xyz_um)[:1], xyz_um.dtype)
    derivatives = []
    for axis in range(3):
        direction = tf.broadcast_to(tf.one_hot(axis, 3, dtype=xyz_um.dtype), tf.shape(xyz_um))
        with tf.autodiff.ForwardAccumulator(xyz_um, direction) as accumulator:
            images = renderer.psf(xyz_um, photons, blur_sigma_px, mask_rad)
        derivatives.append(accumulator.jvp(images))
    return images, tf.stack(derivatives)


def fisher_information(
    images: tf.Tensor, derivatives: tf.Tensor, photons: tf.Tensor, background: tf.Tensor, read_noise: tf.Tensor
) -> tf.Tensor:
    """Return the Fisher information of (x, y, z, photons, background) of lone emitters.

    Poisson noise of mean µ with Gaussian read noise of standard deviation σ counts as Poisson noise of mean µ + σ²
    (Huang et al., Nature Methods 10, 653, 2013): I_ij = Σ ∂_i µ ∂_j µ / (µ + σ²) over the pixels.

    Args:
        images: float ``[E, H, W]``, share of the photons in each pixel (1 photon).
        derivatives: float ``[3, E, H, W]``, of the images with respect to x, y, z, 1/µm.
        photons: float ``[E]``, photons.
        background: float ``[E]``, counts a pixel.
        read_noise: float ``[E]``, standard deviation, counts.

    Returns:
        float64 ``[E, 5, 5]`` in the order of ``PARAMETERS``; units 1/µm, 1/photon, pixel/count.
    """
    images, derivatives = tf.cast(images, tf.float64), tf.cast(derivatives, tf.float64)
    photons, background, read_noise = (
        tf.cast(value, tf.float64)[:, None, None] for value in (photons, background, read_noise)
    )
    jacobian = tf.concat([derivatives * photons, images[None], tf.ones_like(images)[None]], axis=0)
    variance = photons * images + background + tf.square(read_noise)
    return tf.einsum("iehw,jehw->eij", jacobian / variance, jacobian)


def bound_variances(information: tf.Tensor) -> tf.Tensor:
    """Return the diagonal of the inverse of Fisher matrices, the Cramér–Rao bound on the variances.

    Args:
        information: float64 ``[E, P, P]``, units 1/(parameter unit)².

    Returns:
        float64 ``[E, P]``, (parameter unit)².
    """
    # Parameters differ by orders of magnitude; with a unit diagonal the inverse keeps its digits.
    scale = tf.math.rsqrt(tf.linalg.diag_part(information))
    correlation = information * scale[:, :, None] * scale[:, None, :]
    return tf.linalg.diag_part(tf.linalg.inv(correlation)) * tf.square(scale)


def localization_bound(
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
    """Return the Cramér–Rao bound of lone emitters whose photons and background are estimated together with x, y, z.

    Args:
        renderer: an exact renderer (scalar or vectorial) with the mask in question.
        xyz_um: float ``[E, 3]`` (x, y, z), µm.
        photons: float ``[E]`` or a number, photons.
        background: float ``[E]`` or a number, counts a pixel.
        read_noise: float ``[E]`` or a number, standard deviation, counts.
        blur_sigma_px: float ``[E]`` or a number, camera pixels.
        efficiency: share of the photons' information that the camera keeps, no unit (``Camera.efficiency``).
        chunk_emitters: emitters computed at a time.

    Raises ValueError if ``xyz_um`` is not an ``[E, 3]`` array, or if background and read noise are both 0 somewhere
    (dark pixels would carry infinite information).
    """
    positions = np.asarray(xyz_um, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ValueError(f"xyz_um: expected [E, 3] (x, y, z), got shape {positions.shape}")
    values = [
        np.broadcast_to(np.asarray(value, np.float64), positions.shape[:1])
        for value in (photons, background, read_noise, blur_sigma_px)
    ]
    if np.any(values[1] + values[2] <= 0):
        raise ValueError("background, read_noise: expected one of them above 0 for every emitter, got both 0")
    variances = []
    for begin in range(0, len(positions), chunk_emitters):
        part = slice(begin, begin + chunk_emitters)
        flux, level, noise, blur = (value[part] for value in values)
        images, derivatives = image_derivatives(renderer, tf.constant(positions[part]), tf.constant(blur))
        information = fisher_information(images, derivatives, tf.constant(flux), tf.constant(level), tf.constant(noise))
        variances.append(bound_variances(information * efficiency).numpy())
    x, y, z, flux, level = np.sqrt(np.concatenate(variances)).T
    return LocalizationBound(1000 * x, 1000 * y, 1000 * z, flux, level)
