"""Vectorial renderer: freely rotating dipoles near a water–glass interface, seen through a polarizer or none.

Angular spectrum of a dipole in water, taken through the interface by Fresnel's coefficients and through an aplanatic
objective (Novotny & Hecht, Principles of Nano-Optics, chapters 3 and 10; Backer & Moerner, J. Phys. Chem. B 118, 8313,
2014). Light beyond the critical angle of the interface is included: it decays with the emitter's height.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from ds3d_tf.optics.pupil import PupilGrids, fft_size, pupil_grids
from ds3d_tf.optics.rendering.exact import ExactRenderer
from ds3d_tf.setup.sections import OpticsSection, VolumeSection


def vectorial_grids(optics: OpticsSection, mask_size_px: int, focus_um: float) -> PupilGrids:
    """Return the pupil's grids with the light beyond the critical angle: the support is the objective's whole pupil.

    Beyond that angle the axial phase is 0: :func:`evanescent_decay` says how the light fades with height.
    Raises InputError as :func:`ds3d_tf.optics.pupil.pupil_grids`.
    """
    scalar = pupil_grids(optics, mask_size_px, focus_um)
    support = scalar.pupil_radius < 1
    sin_oil = _sin_oil(optics, scalar)
    k_oil = 2 * math.pi * optics.n_oil / optics.wavelength_um
    return PupilGrids(
        support=support,
        axial_rad_per_um=scalar.axial_rad_per_um,
        focus_rad=np.where(support, -focus_um * k_oil * np.sqrt(np.clip(1 - sin_oil**2, 0, None)), 0.0),
        lateral_rad_per_um=scalar.lateral_rad_per_um,
        pupil_x=scalar.pupil_x,
        fft_size=fft_size(optics, mask_size_px),
    )


def evanescent_decay(optics: OpticsSection, grids: PupilGrids) -> np.ndarray:
    """Return how fast an emitter's field fades with its height: 0 below the critical angle.

    Returns:
        float64 ``[N, N]``, 1/µm: k sqrt((n_oil sin θ_oil)² - n_water²) beyond the critical angle.
    """
    beyond = (optics.n_oil * _sin_oil(optics, grids)) ** 2 - optics.n_water**2
    return 2 * math.pi / optics.wavelength_um * np.sqrt(np.clip(beyond, 0, None)) * grids.support


def dipole_pupils(optics: OpticsSection, grids: PupilGrids) -> np.ndarray:
    """Return the fields in the pupil of dipoles at the interface, for the setup's detected polarization.

    The incoherent sum over K stands for a freely rotating dipole: three orientations x, y, z, in one detected
    polarization (``x``: along columns, ``y``: along rows) or, for ``none``, in both.

    Args:
        optics: the setup's optics section.
        grids: of :func:`vectorial_grids`.

    Returns:
        complex128 ``[K, N, N]`` (K = 3 or 6), no unit, scaled to a mean square of 1 / K each over the support; 0
        outside it.
    """
    radius = grids.pupil_radius
    safe = np.where(radius > 0, radius, 1)
    cos_phi = np.where(radius > 0, grids.pupil_x[None, :] / safe, 1.0)
    sin_phi = np.where(radius > 0, grids.pupil_x[:, None] / safe, 0.0)
    sin_oil = _sin_oil(optics, grids) * grids.support
    sin_water = sin_oil * optics.n_oil / optics.n_water
    cos_oil = np.sqrt(1 - sin_oil**2)
    cos_water = np.sqrt((1 - sin_water**2).astype(complex))  # beyond the critical angle +i|cos|: fading upwards

    # t · (k_oil cos θ_oil / k_water cos θ_water) / sqrt(cos θ_oil): transmission, Weyl's density of plane waves and
    # the objective's apodization; the pole of the density at the critical angle cancels against t.
    strength = 2 * optics.n_oil * np.sqrt(cos_oil)
    s_wave = strength / (optics.n_water * cos_water + optics.n_oil * cos_oil)
    p_wave = strength / (optics.n_oil * cos_water + optics.n_water * cos_oil)

    radial = (p_wave * cos_phi * cos_water, p_wave * sin_phi * cos_water, -p_wave * sin_water)
    azimuthal = (-s_wave * sin_phi, s_wave * cos_phi, np.zeros_like(s_wave))
    seen = []
    if optics.polarization in ("x", "none"):
        seen += [r * cos_phi - a * sin_phi for r, a in zip(radial, azimuthal, strict=True)]
    if optics.polarization in ("y", "none"):
        seen += [r * sin_phi + a * cos_phi for r, a in zip(radial, azimuthal, strict=True)]
    pupils = np.stack(seen) * grids.support
    return pupils / np.sqrt(np.sum(np.abs(pupils) ** 2) / np.count_nonzero(grids.support))


def _sin_oil(optics: OpticsSection, grids: PupilGrids) -> np.ndarray:
    return optics.numerical_aperture / optics.n_oil * grids.pupil_radius


class VectorialRenderer(ExactRenderer):
    """The exact renderer with the vectorial model: freely rotating dipoles, ``optics.polarization`` detected.

    The mask acts on every detected polarization. Photons count the light that reaches the camera, so an image holds
    them all at any height, though an emitter at the coverslip sends more light beyond the critical angle.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section (frame size, depth range, focus).
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x).
        chunk_emitters: emitters worked on at a time.
        dtype: "float32", or "float64" for references.
        spacing_px: distance between the image's rows, and between its columns, camera pixels (see
            :class:`ExactRenderer`).

    Raises InputError if the mask does not fit the optics.
    """

    def __init__(
        self,
        optics: OpticsSection,
        volume: VolumeSection,
        mask: np.ndarray,
        *,
        chunk_emitters: int = 4,
        dtype: str = "float32",
        spacing_px: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        super().__init__(optics, volume, mask, chunk_emitters=chunk_emitters, dtype=dtype, spacing_px=spacing_px)
        inside = (slice(None), self._crop, self._crop)
        pupils = dipole_pupils(optics, self.grids)[inside]
        decay = evanescent_decay(optics, self.grids)[inside[1:]]
        number = self.dtype.as_numpy_dtype
        self._dipoles = (pupils.real.astype(number), pupils.imag.astype(number))
        self._decay = decay.astype(number)
        power = np.sum(np.abs(pupils) ** 2, axis=0)
        self._fading_power = power[decay > 0].astype(number)
        self._fading_decay = decay[decay > 0].astype(number)
        self._steady_power = float(power[decay == 0].sum())

    def _make_grids(self, optics: OpticsSection, mask_size_px: int, focus_um: float) -> PupilGrids:
        return vectorial_grids(optics, mask_size_px, focus_um)

    def _power(self, phase: tf.Tensor, fixed: tf.Tensor, z_um: tf.Tensor) -> tf.Tensor:
        """Return ``[E, H, W]``, images of one photon, from pupil phases ``[E, S, S]`` and float64 ``[S, S]``, rad."""
        size = self._support.shape[0]
        height, width = self.frame_shape
        angle = phase + tf.cast(fixed, self.dtype)
        real, imaginary = tf.cos(angle), tf.sin(angle)
        above_um = tf.nn.relu(tf.cast(z_um, self.dtype))[:, None]
        if self._fading_decay.size:
            fading = tf.exp(-above_um[:, :, None] * self._decay)
            real, imaginary = real * fading, imaginary * fading
            collected = self._steady_power + tf.reduce_sum(
                self._fading_power * tf.exp(-2 * above_um * self._fading_decay), axis=1
            )
        else:
            collected = self._steady_power * tf.ones_like(above_um[:, 0])
        real, imaginary = real[:, None], imaginary[:, None]
        ours_real, ours_imaginary = self._dipoles
        pupil = tf.concat(
            [real * ours_real - imaginary * ours_imaginary, real * ours_imaginary + imaginary * ours_real], axis=-1
        )
        columns = tf.matmul(tf.reshape(pupil, [-1, 2 * size]), self._to_columns)
        field = tf.matmul(self._to_rows, tf.reshape(columns, [-1, 2 * size, width]))
        power = tf.square(field[:, :height]) + tf.square(field[:, height:])
        power = tf.reduce_sum(tf.reshape(power, [-1, len(ours_real), height, width]), axis=1)
        return power / (collected * self.grids.fft_size**2)[:, None, None]
