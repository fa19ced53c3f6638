"""Exact renderer: the scalar model of an emitter's image, evaluated for every emitter of a batch of frames."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import tensorflow as tf

from ds3d_tf.optics.pupil import PupilGrids, pupil_grids
from ds3d_tf.optics.rendering.chunks import sum_over_chunks
from ds3d_tf.setup.sections import OpticsSection, VolumeSection

BLUR_HALF_WIDTH_PX = 4
_ROUNDING = 1e-9


class ExactRenderer:
    """Renders emitters by a Fourier transform each, differentiable in positions, photons, blur and mask.

    The transform is pruned to what is seen: two matrix products take the pupil's support to the frame's rows and
    columns. Emitters of all frames form one flat list, worked on in chunks, so padding costs nothing and memory
    stays bounded, in the gradient too. Model: Nehme et al., Nature Methods 2020.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section (frame size, depth range, focus).
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x).
        chunk_emitters: emitters worked on at a time.
        dtype: "float32", or "float64" for references.
        spacing_px: distance between the image's rows, and between its columns, camera pixels. Below 1 the image is
            sampled more finely than by the camera (H and W then count these samples, counts stay those of a whole
            camera pixel, and blurs would be wrong).

    Raises InputError if the mask does not fit the optics.
    """

    def __init__(
        self,
        optics: OpticsSection,
        volume: VolumeSection,
        mask: np.ndarray,
        *,
        chunk_emitters: int = 16,
        dtype: str = "float32",
        spacing_px: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        mask = np.asarray(mask, np.float64)
        if mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
            raise ValueError(f"mask: expected a square array [N, N], got shape {mask.shape}")
        grids = self._make_grids(optics, mask.shape[0], volume.focus_um)
        self.grids = grids
        self.mask = mask
        self.frame_shape = (volume.height_px, volume.width_px)
        self.chunk_emitters = chunk_emitters
        self.dtype = tf.as_dtype(dtype)
        self._pixel_um = optics.pixel_um
        seen_px = [size * spacing for size, spacing in zip(self.frame_shape, spacing_px, strict=True)]
        self._repeats = max(seen_px) > grids.fft_size * (1 + _ROUNDING)

        rows = np.flatnonzero(grids.support.any(axis=1))
        self._crop = slice(int(rows[0]), int(rows[-1]) + 1)
        inside = (self._crop, self._crop)
        self._support = grids.support[inside].astype(self.dtype.as_numpy_dtype)
        # A 32-bit float holds an angle of 50 rad to 4e-6 only: phases are taken from the middle of the depth
        # range, without the piston that every pixel shares, and wrapped before they are rounded.
        self._z_middle_um = (volume.z_min_um + volume.z_max_um) / 2
        axial = grids.axial_rad_per_um[inside]
        piston = (axial.max() + axial[grids.support[inside]].min()) / 2
        self._axial = ((axial - piston) * self._support).astype(self._support.dtype)
        self._fixed = grids.focus_rad[inside] + self._z_middle_um * axial
        self._lateral = grids.lateral_rad_per_um[self._crop]
        orders = (np.arange(mask.shape[0]) - (mask.shape[0] - 1) // 2)[self._crop]
        self._to_columns = self._fourier(orders, self.frame_shape[1], spacing_px[1], interleaved=False)
        self._to_rows = self._fourier(orders, self.frame_shape[0], spacing_px[0], interleaved=True).T.copy()
        # |pupil| is 1 on the support, so by Parseval the image on the whole Fourier grid sums to its area.
        self._photons_to_power = 1.0 / (grids.fft_size**2 * np.count_nonzero(grids.support))

    def __call__(
        self, xyz_um: tf.Tensor, photons: tf.Tensor, blur_sigma_px: tf.Tensor, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return the noise-free frames of batches of emitters.

        Args:
            xyz_um: float ``[B, E, 3]`` (x, y, z), µm; x = y = 0 is the centre of pixel (H // 2, W // 2).
            photons: float ``[B, E]``, photons of each emitter; 0 marks padding.
            blur_sigma_px: float ``[B, E]``, standard deviation of each emitter's blur, camera pixels.
            mask: float ``[N, N]``, phase mask, rad, instead of the renderer's own.

        Returns:
            float32 (or the renderer's dtype) ``[B, H, W]``, counts.
        """
        xyz_um, photons = tf.convert_to_tensor(xyz_um), tf.convert_to_tensor(photons)
        blur_sigma_px = tf.convert_to_tensor(blur_sigma_px)
        batch = tf.shape(photons, out_type=tf.int32)[0]
        present = tf.where(photons > 0)
        frame_of = tf.cast(present[:, 0], tf.int32)
        return sum_over_chunks(
            partial(self._chunk, batch=batch),
            [tf.gather_nd(value, present) for value in (xyz_um, photons, blur_sigma_px)],
            frame_of,
            [self._mask_tensor(mask)],
            [batch, *self.frame_shape],
            self.dtype,
            self.chunk_emitters,
        )

    def psf(
        self,
        xyz_um: tf.Tensor,
        photons: tf.Tensor,
        blur_sigma_px: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return the image of each emitter by itself (all at once: memory grows with their number).

        Args:
            xyz_um: float ``[E, 3]`` (x, y, z), µm.
            photons: float ``[E]``, photons.
            blur_sigma_px: float ``[E]``, camera pixels; None leaves the blur out.
            mask: float ``[N, N]``, phase mask, rad, instead of the renderer's own.

        Returns:
            float32 (or the renderer's dtype) ``[E, H, W]``, counts.
        """
        xyz_um, photons = tf.convert_to_tensor(xyz_um), tf.convert_to_tensor(photons)
        images = self._images(xyz_um, photons, self._mask_tensor(mask))
        return images if blur_sigma_px is None else self._blurred(images, tf.convert_to_tensor(blur_sigma_px))

    def _make_grids(self, optics: OpticsSection, mask_size_px: int, focus_um: float) -> PupilGrids:
        return pupil_grids(optics, mask_size_px, focus_um)

    def _mask_tensor(self, mask: tf.Tensor | None) -> tf.Tensor:
        return tf.convert_to_tensor(self.mask if mask is None else mask)

    def _fourier(self, orders: np.ndarray, size: int, spacing_px: float, interleaved: bool) -> np.ndarray:
        """Return the real form ``[2K, 2 size]`` of the Fourier matrix from pupil samples to camera pixels.

        The real and imaginary parts of the pupil lie side by side (columns), or, interleaved, turn by turn (rows).
        """
        pixels = (np.arange(size) - size // 2) * spacing_px
        wave = np.exp(-2j * np.pi * (np.outer(orders, pixels) % self.grids.fft_size) / self.grids.fft_size)
        real_form = np.block([[wave.real, wave.imag], [-wave.imag, wave.real]])
        if interleaved:
            real_form = real_form.reshape(2, len(orders), -1).swapaxes(0, 1).reshape(real_form.shape)
        return real_form.astype(self.dtype.as_numpy_dtype)

    def _images(self, xyz_um: tf.Tensor, photons: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Return the unblurred images ``[E, H, W]`` of emitters ``[E, 3]`` (µm) with ``[E]`` photons."""
        fixed = self._wrapped(tf.cast(mask[self._crop, self._crop], tf.float64) + self._fixed)
        xyz64 = tf.cast(xyz_um, tf.float64)
        along_x = tf.cast(self._wrapped(xyz64[:, 0:1] * self._lateral), self.dtype)
        along_y = tf.cast(self._wrapped(xyz64[:, 1:2] * self._lateral), self.dtype)
        depth = tf.cast(xyz64[:, 2] - self._z_middle_um, self.dtype)
        phase = depth[:, None, None] * self._axial + along_y[:, :, None] + along_x[:, None, :]
        power = self._power(phase, fixed, xyz64[:, 2])
        if self._repeats:
            power = power * self._own_period(xyz64)
        return power * tf.cast(photons, self.dtype)[:, None, None]

    def _power(self, phase: tf.Tensor, fixed: tf.Tensor, z_um: tf.Tensor) -> tf.Tensor:
        """Return ``[E, H, W]``, images of one photon, from pupil phases ``[E, S, S]`` and float64 ``[S, S]``, rad."""
        size = self._support.shape[0]
        height, width = self.frame_shape
        # Two copies a quarter turn apart: one cosine gives the pupil's real and imaginary parts.
        fixed = tf.cast(tf.stack([fixed, fixed - math.pi / 2], axis=1), self.dtype)
        pupil = tf.cos(phase[:, :, None, :] + fixed) * self._support[:, None, :]
        columns = tf.matmul(tf.reshape(pupil, [-1, 2 * size]), self._to_columns)
        field = tf.matmul(self._to_rows, tf.reshape(columns, [-1, 2 * size, width]))
        return (tf.square(field[:, :height]) + tf.square(field[:, height:])) * self._photons_to_power

    def _wrapped(self, angle: tf.Tensor) -> tf.Tensor:
        return angle - 2 * math.pi * tf.round(angle / (2 * math.pi))

    def _own_period(self, xyz_um: tf.Tensor) -> tf.Tensor:
        """Return 1 within half a Fourier grid of the emitter, else 0: ``[E, H, W]``.

        The transform is periodic; frames larger than its grid would show each emitter several times.
        """
        inside = []
        for axis, size in ((1, self.frame_shape[0]), (0, self.frame_shape[1])):
            pixels = tf.range(size, dtype=tf.float64) - size // 2
            distance = tf.abs(pixels - tf.round(xyz_um[:, axis : axis + 1] / self._pixel_um))
            inside.append(tf.cast(distance <= self.grids.fft_size / 2, self.dtype))
        return inside[0][:, :, None] * inside[1][:, None, :]

    def _blurred(self, images: tf.Tensor, sigma_px: tf.Tensor) -> tf.Tensor:
        """Return ``[E, H, W]`` images, each convolved with its own 9×9 Gaussian of sigma ``[E]`` pixels, 0 outside."""
        height, width = self.frame_shape
        down, across = self._blur_matrix(sigma_px, height), self._blur_matrix(sigma_px, width)
        return tf.matmul(tf.matmul(down, images), across)

    def _blur_matrix(self, sigma_px: tf.Tensor, size_px: int) -> tf.Tensor:
        """Return symmetric ``[E, size, size]`` matrices that convolve with exp(-t²/2σ²)/(σ√2π), |t| ≤ 4 pixels."""
        distance = np.abs(np.subtract.outer(np.arange(size_px), np.arange(size_px)))
        sigma = tf.cast(sigma_px, self.dtype)[:, None]
        taps = np.arange(BLUR_HALF_WIDTH_PX + 1, dtype=self.dtype.as_numpy_dtype)
        kernel = tf.exp(-tf.square(taps / sigma) / 2) / (sigma * math.sqrt(2 * math.pi))
        kernel = tf.pad(kernel, [[0, 0], [0, 1]])
        return tf.gather(kernel, np.minimum(distance, BLUR_HALF_WIDTH_PX + 1), axis=1)

    def _chunk(
        self,
        xyz_um: tf.Tensor,
        photons: tf.Tensor,
        sigma_px: tf.Tensor,
        frame_of: tf.Tensor,
        mask: tf.Tensor,
        *,
        batch: tf.Tensor,
    ) -> tf.Tensor:
        """Return frames ``[B, H, W]`` of a few emitters."""
        images = self._blurred(self._images(xyz_um, photons, mask), sigma_px)
        return tf.math.unsorted_segment_sum(images, frame_of, batch)
