"""Forward model of a bead's z-stack: one emitter at rest, the focus moved from slice to slice."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from ds3d_tf.optics.pupil import PupilGrids, pupil_grids
from ds3d_tf.optics.rendering.exact import BLUR_HALF_WIDTH_PX
from ds3d_tf.optics.rendering.vectorial import dipole_pupils, evanescent_decay, vectorial_grids
from ds3d_tf.setup.sections import OpticsSection


class BeadStackModel:
    """Images of a bead at rest at given focus positions, differentiable in mask, offset, focus and blur.

    It is the model of the exact renderers, scalar or vectorial as the optics section says, in float32.

    Args:
        optics: the setup's optics section.
        mask_size_px: N, side of the phase mask, SLM pixels (odd).
        frame_shape: (H, W) of a slice, camera pixels.
        bead_height_um: height of the bead's centre above the coverslip, µm.

    Raises InputError if the mask's size does not fit the optics.
    """

    def __init__(
        self, optics: OpticsSection, mask_size_px: int, frame_shape: tuple[int, int], bead_height_um: float
    ) -> None:
        self.frame_shape = frame_shape
        self.grids, fields = _bead_fields(optics, mask_size_px, bead_height_um)
        rows = np.flatnonzero(self.grids.support.any(axis=1))
        self.crop = slice(int(rows[0]), int(rows[-1]) + 1)
        inside = (self.crop, self.crop)
        self.support = self.grids.support[inside]
        # focus_rad is for a focus 1 µm lower: radians per µm of focus, without the piston that all pixels share
        focus = self.grids.focus_rad[inside]
        self._focus = tf.constant((focus - focus[self.support].mean()) * self.support, tf.float32)
        self._lateral = tf.constant(self.grids.lateral_rad_per_um[self.crop], tf.float32)
        self._fields = tf.constant(fields[:, self.crop, self.crop], tf.complex64)
        orders = (np.arange(mask_size_px) - (mask_size_px - 1) // 2)[self.crop]
        self._to_rows, self._to_columns = (
            tf.constant(
                np.exp(-2j * np.pi * np.outer(orders, np.arange(n) - n // 2) / self.grids.fft_size), tf.complex64
            )
            for n in frame_shape
        )
        self._power = 1 / (self.grids.fft_size**2 * float(np.sum(np.abs(fields) ** 2)))

    @property
    def size_px(self) -> int:
        """S: side of the pupil's bounding square, SLM pixels."""
        return self.support.shape[0]

    def __call__(
        self, phase: tf.Tensor, offset_um: tf.Tensor, focus_um: tf.Tensor, blur_sigma_px: tf.Tensor
    ) -> tf.Tensor:
        """Return the images of one photon.

        Args:
            phase: float32 ``[S, S]``, the mask inside the pupil's bounding square, rad.
            offset_um: float32 ``[K, 2]``, the bead's x and y in each slice, µm.
            focus_um: float32 ``[K]``, focus position (NFP) of each slice, µm.
            blur_sigma_px: float32 scalar, standard deviation of the blur, camera pixels.

        Returns:
            float32 ``[K, H, W]``, share of the photons in each pixel.
        """
        angle = phase + focus_um[:, None, None] * self._focus
        angle += offset_um[:, 0, None, None] * self._lateral + offset_um[:, 1, None, None] * self._lateral[:, None]
        pupil = tf.complex(tf.cos(angle), tf.sin(angle))[:, None] * self._fields
        field = tf.matmul(self._to_rows, tf.matmul(pupil, self._to_columns), transpose_a=True)
        power = tf.square(tf.math.real(field)) + tf.square(tf.math.imag(field))
        return self._blurred(tf.reduce_sum(power, axis=1) * self._power, blur_sigma_px)

    def _blurred(self, images: tf.Tensor, sigma_px: tf.Tensor) -> tf.Tensor:
        taps = tf.range(-BLUR_HALF_WIDTH_PX, BLUR_HALF_WIDTH_PX + 1, dtype=tf.float32)
        kernel = tf.exp(-tf.square(taps / sigma_px) / 2) / (sigma_px * math.sqrt(2 * math.pi))
        blurred = tf.nn.conv2d(images[..., None], kernel[:, None, None, None], 1, "SAME")
        return tf.nn.conv2d(blurred, kernel[None, :, None, None], 1, "SAME")[..., 0]


def _bead_fields(optics: OpticsSection, mask_size_px: int, height_um: float) -> tuple[PupilGrids, np.ndarray]:
    """Return the grids of a focus at 1 µm and the fields ``[K, N, N]`` (complex128) of a bead at a height, µm."""
    if optics.model == "vectorial":
        grids = vectorial_grids(optics, mask_size_px, 1.0)
        fading = np.exp(-max(height_um, 0.0) * evanescent_decay(optics, grids))
        fields = dipole_pupils(optics, grids) * fading
    else:
        grids = pupil_grids(optics, mask_size_px, 1.0)
        fields = grids.support[None].astype(complex)
    return grids, fields * np.exp(1j * height_um * grids.axial_rad_per_um)
