"""Fast renderer for one mask: spectra added up, one inverse Fourier transform a frame instead of one an emitter."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import tensorflow as tf

from ds3d_tf.common.errors import InputError
from ds3d_tf.optics.rendering.chunks import sum_over_chunks
from ds3d_tf.optics.rendering.exact import BLUR_HALF_WIDTH_PX
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.rendering.psf_basis import PsfBasis, psf_basis
from ds3d_tf.optics.rendering.undersampling import seen_frequency
from ds3d_tf.setup.sections import OpticsSection, VolumeSection

ERROR_LIMIT = 1e-3
# Share of the limit left to the basis, and whether one blur may stand for a range of a few percent (the others then
# lose what they move across the border). The first attempt that keeps within the limit is the fastest.
_ATTEMPTS = ((0.6, True), (0.3, False), (0.1, False))
_CHECKED_EMITTERS = 16
_CHECKED_AT_A_TIME = 8


class FastRenderer:
    """Renders emitters through a precomputed low-rank form of one mask's point spread function.

    An emitter's spectrum is a sum of a few precomputed ones with weights that depend on z, times the phases of its
    position; the spectra of a frame are added up and transformed once. The blur of each emitter is interpolated
    between a few blurs, each of which is part of that transform, border included.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section (frame size, depth range, focus).
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x).
        sigma_range_px: smallest and largest blur, camera pixels.
        margin_px: emitters keep this distance from the frame's border, camera pixels.
        error_limit: largest relative error (L2, of an emitter's image) against the exact renderer.
        chunk_emitters: emitters worked on at a time.

    Attributes:
        error: the largest relative error of some random emitters, measured while building.

    Raises InputError if that error exceeds the limit, or the mask or frame does not fit the optics.
    """

    def __init__(
        self,
        optics: OpticsSection,
        volume: VolumeSection,
        mask: np.ndarray,
        sigma_range_px: tuple[float, float],
        *,
        margin_px: float = 0.0,
        error_limit: float = ERROR_LIMIT,
        chunk_emitters: int = 32,
    ) -> None:
        self.frame_shape = (volume.height_px, volume.width_px)
        self.chunk_emitters = chunk_emitters
        self.sigma_range_px = sigma_range_px
        self._margin_px = margin_px
        self._sections = (optics, volume, np.asarray(mask, np.float64))
        fft_size = exact_renderer(optics, volume, mask).grids.fft_size
        if max(self.frame_shape) > fft_size:
            raise InputError(
                f"volume.height_px, volume.width_px: {self.frame_shape[0]}×{self.frame_shape[1]} is larger than the "
                f"Fourier grid of {fft_size:.5g} pixels; use the exact renderer"
            )
        for share, one_blur in _ATTEMPTS:
            self._sigma_nodes = _sigma_nodes(sigma_range_px, 0.2 * error_limit, one_blur)
            self._prepare(psf_basis(optics, volume, mask, sigma_range_px[0], margin_px, share * error_limit))
            self.error = self.measured_error(_CHECKED_EMITTERS, seed=0)
            if self.error <= error_limit:
                return
        raise InputError(
            f"the fast renderer's error for this mask is {self.error:.1e}, more than {error_limit:.1e}; "
            "use the exact renderer"
        )

    def _prepare(self, basis: PsfBasis) -> None:
        """Make the matrices of a basis."""
        self._basis = basis
        rank, rows, columns = basis.spectra.shape
        self._orders = (np.r_[0 : rows // 2 + 1, -1 : -(rows // 2) - 1 : -1], np.arange(columns))
        self._spectra = np.stack([basis.spectra.real, basis.spectra.imag], axis=-1).reshape(rank, -1)
        self._to_rows, self._to_columns = self._transforms()

    def __call__(
        self, xyz_um: tf.Tensor, photons: tf.Tensor, blur_sigma_px: tf.Tensor, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return the noise-free frames of batches of emitters.

        Args:
            xyz_um: float ``[B, E, 3]`` (x, y, z), µm; x = y = 0 is the centre of pixel (H // 2, W // 2). Heights lie in
                the volume's range.
            photons: float ``[B, E]``, photons of each emitter; 0 marks padding.
            blur_sigma_px: float ``[B, E]``, standard deviation of each emitter's blur, in the range given, camera
                pixels.
            mask: must be None; the mask, rad ``[N, N]``, is fixed.

        Returns:
            float32 ``[B, H, W]``, counts.

        Raises tf.errors.InvalidArgumentError for an emitter outside the ranges.
        """
        if mask is not None:
            raise ValueError("mask: a fast renderer is made for one mask; use ExactRenderer to change it")
        xyz_um, photons = tf.convert_to_tensor(xyz_um), tf.convert_to_tensor(photons)
        batch = tf.shape(photons, out_type=tf.int32)[0]
        present = tf.where(photons > 0)
        xyz_um = tf.gather_nd(xyz_um, present)
        sigma_px = tf.cast(tf.gather_nd(tf.convert_to_tensor(blur_sigma_px), present), tf.float32)
        with tf.control_dependencies(self._checks(xyz_um, sigma_px)):
            coefficients = self._coefficients(xyz_um)
        coefficients *= tf.cast(tf.gather_nd(photons, present), tf.float32)[:, None]
        down, across = self._phases(xyz_um, sigma_px)
        nodes = len(self._sigma_nodes)
        spectra = sum_over_chunks(
            partial(_spectra_of_chunk, basis=self._spectra, batch=batch),
            [coefficients, down, across, self._sigma_weights(sigma_px)],
            tf.cast(present[:, 0], tf.int32),
            [],
            [batch * nodes, self._spectra.shape[1]],
            tf.float32,
            self.chunk_emitters,
        )
        return self._frames(spectra)

    def measured_error(self, count: int, seed: int) -> float:
        """Return the largest relative error (L2, of an emitter's image), against 64-bit renders.

        Of ``count`` random emitters, and of those at the volume's eight corners, whose images are cut off most.
        """
        optics, volume, mask = self._sections
        random = np.random.default_rng(seed)
        pixel_um = optics.pixel_um
        low, high = [], []
        for size in (volume.width_px, volume.height_px):
            low.append((self._margin_px - 0.5 - size // 2) * pixel_um)
            high.append((size - self._margin_px - 0.5 - size // 2) * pixel_um)
        ends = np.array([[*low, volume.z_min_um], [*high, volume.z_max_um]])
        corners = np.stack(np.meshgrid(*ends.T), axis=-1).reshape(-1, 3)
        xyz_um = np.concatenate([corners, random.uniform(ends[0], ends[1], (count, 3))])
        sigma_px = random.uniform(*self.sigma_range_px, len(xyz_um))
        sigma_px[: len(corners)] = np.resize(self.sigma_range_px, len(corners))
        exact = exact_renderer(optics, volume, mask, dtype="float64")
        worst = 0.0
        for begin in range(0, len(xyz_um), _CHECKED_AT_A_TIME):
            some = slice(begin, begin + _CHECKED_AT_A_TIME)
            xyz, sigma = xyz_um[some], sigma_px[some]
            photons = np.ones(len(xyz))
            wanted = exact.psf(xyz, photons, sigma).numpy()
            got = self(xyz[:, None], photons[:, None], sigma[:, None]).numpy()
            errors = np.linalg.norm(got - wanted, axis=(1, 2)) / np.linalg.norm(wanted, axis=(1, 2))
            worst = max(worst, float(errors.max()))
        return worst

    def _checks(self, xyz_um: tf.Tensor, sigma_px: tf.Tensor) -> list[tf.Operation]:
        """Return assertions that emitters are where the renderer knows what they look like."""
        volume = self._sections[1]
        low, high = self.sigma_range_px
        z_um = xyz_um[:, 2]
        inside = tf.reduce_all((z_um > volume.z_min_um - 1e-4) & (z_um < volume.z_max_um + 1e-4))
        inside &= tf.reduce_all((sigma_px > low - 1e-4) & (sigma_px < high + 1e-4))
        if not self._basis.whole_period:
            most = [(size // 2 + 1 - self._margin_px) / self._basis.pixels_per_um for size in self.frame_shape[::-1]]
            inside &= tf.reduce_all(tf.abs(xyz_um[:, :2]) <= tf.constant(most, xyz_um.dtype))
        message = "emitters must lie in the frame less its margin, the depth range and the blur range of the renderer"
        return [tf.debugging.Assert(inside, [message])]

    def _coefficients(self, xyz_um: tf.Tensor) -> tf.Tensor:
        """Return ``[E, R]``: the table of coefficients, interpolated by cubics, times the factors of large pixels."""
        basis = self._basis
        place = (tf.cast(xyz_um[:, 2], tf.float32) - basis.z_low_um) / basis.z_step_um
        left = tf.clip_by_value(tf.floor(place), 1.0, len(basis.coefficients) - 3.0)
        t = place - left
        weights = tf.stack(
            [
                -t * (t - 1) * (t - 2) / 6,
                (t + 1) * (t - 1) * (t - 2) / 2,
                -(t + 1) * t * (t - 2) / 2,
                (t + 1) * t * (t - 1) / 6,
            ],
            axis=1,
        )
        rows = tf.gather(basis.coefficients, tf.cast(left, tf.int32)[:, None] + tf.range(-1, 3))
        coefficients = tf.matmul(weights[:, None, :], rows)[:, 0]
        if not basis.folded_by.any():
            return coefficients
        yx_um = tf.cast(xyz_um[:, 1::-1], tf.float64)
        turns = tf.matmul(yx_um, (basis.pixels_per_um * basis.folded_by).T) - basis.quarter_turns / 4
        return coefficients * tf.cos(2 * math.pi * tf.cast(turns - tf.round(turns), tf.float32))

    def _phases(self, xyz_um: tf.Tensor, sigma_px: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return ``[E, 2, Ny]`` and ``[E, 2, 2 Nx]``: summed over the 2, their product is exp(-i(ky y + kx x)).

        Real and imaginary parts come in turn along kx. With c and s for cosine and sine, rows are (cy, sy) and the
        columns of each kx (cx, -sx) and (-sx, -cx): cosines all, a number of quarter turns on.
        """
        ky, kx = self._orders[0], np.repeat(self._orders[1], 2)
        quarters_y = np.array([[0.0], [-1.0]])
        quarters_x = np.array([np.tile([0.0, 1.0], len(kx) // 2), np.tile([1.0, 2.0], len(kx) // 2)])
        waves = []
        for axis, orders, quarters in ((1, ky, quarters_y), (0, kx, quarters_x)):
            frequency = orders / self._basis.periods_px[1 - axis]
            turns = tf.cast(xyz_um[:, axis : axis + 1], tf.float64) * (self._basis.pixels_per_um * frequency)
            angle = tf.cast(turns - tf.round(turns), tf.float32)[:, None, :] + (quarters / 4).astype(np.float32)
            wave = tf.cos(2 * math.pi * angle)
            if len(self._sigma_nodes) == 1 and self.sigma_range_px[0] < self.sigma_range_px[1]:
                wave *= self._blur_ratio(sigma_px, seen_frequency(orders, self._basis.periods_px[1 - axis]))[:, None, :]
            waves.append(wave)
        return waves[0], waves[1]

    def _blur_ratio(self, sigma_px: tf.Tensor, frequency: np.ndarray) -> tf.Tensor:
        """Return ``[E, K]``: transfer of each emitter's blur over that of the one node."""
        difference = tf.square(sigma_px) - self._sigma_nodes[0] ** 2
        return tf.exp(-2 * (np.pi * frequency.astype(np.float32)) ** 2 * difference[:, None])

    def _sigma_weights(self, sigma_px: tf.Tensor) -> tf.Tensor:
        """Return ``[E, J]``: Lagrange weights of the blur nodes."""
        nodes = self._sigma_nodes
        columns = []
        for own in nodes:
            weight = tf.ones_like(sigma_px)
            for other in nodes:
                if other != own:
                    weight *= (sigma_px - other) / (own - other)
            columns.append(weight)
        return tf.stack(columns, axis=1)

    def _transforms(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the matrices from spectra to blurred frames: ``[H, J Ny]`` and, for each node, ``[2, 2 Nx, W]``.

        Rows come as ky = 0, then sums, then differences of the orders ±ky; the two column matrices are for the sums and
        the differences.
        """
        height, width = self.frame_shape
        ky = np.arange(self._orders[0].max() + 1)
        kx = self._orders[1]
        down = 2 * np.pi / self._basis.periods_px[0] * np.outer(np.arange(height) - height // 2, ky)
        across = 2 * np.pi / self._basis.periods_px[1] * np.outer(kx, np.arange(width) - width // 2)
        rows = np.concatenate([np.cos(down), np.sin(down[:, 1:])], axis=1)
        twice = np.where(kx > 0, 2.0, 1.0)[:, None]
        cos, sin = twice * np.cos(across), twice * np.sin(across)
        sums = np.stack([cos, -sin], axis=1).reshape(-1, width)
        differences = np.stack([-sin, -cos], axis=1).reshape(-1, width)
        columns = np.stack([sums, differences])
        to_rows = np.concatenate([_blur_matrix(sigma, height) @ rows for sigma in self._sigma_nodes], axis=1)
        to_columns = [(columns @ _blur_matrix(sigma, width)).astype(np.float32) for sigma in self._sigma_nodes]
        return to_rows.astype(np.float32), to_columns

    def _frames(self, spectra: tf.Tensor) -> tf.Tensor:
        """Return frames ``[B, H, W]`` of spectra ``[B J, Ny 2 Nx]``."""
        width, nodes = self.frame_shape[1], len(self._sigma_nodes)
        ny, nx = len(self._orders[0]), len(self._orders[1])
        half = ny // 2
        spectra = tf.reshape(spectra, [-1, nodes, ny, 2 * nx])
        up, down = spectra[:, :, 1 : half + 1], spectra[:, :, half + 1 :]
        sums = tf.concat([spectra[:, :, :1], up + down], axis=2)
        differences = up - down
        parts = []
        for node, (to_sums, to_differences) in enumerate(self._to_columns):
            for value, matrix in ((sums, to_sums), (differences, to_differences)):
                lines = tf.matmul(tf.reshape(value[:, node], [-1, 2 * nx]), matrix)
                parts.append(tf.reshape(lines, [-1, value.shape[2], width]))
        # Where an image is dark the approximation may fall a little below nothing.
        return tf.nn.relu(tf.matmul(self._to_rows, tf.concat(parts, axis=1)))


def _spectra_of_chunk(
    coefficients: tf.Tensor,
    down: tf.Tensor,
    across: tf.Tensor,
    weights: tf.Tensor,
    frame_of: tf.Tensor,
    *,
    basis: np.ndarray,
    batch: tf.Tensor,
) -> tf.Tensor:
    """Return ``[B J, Ny 2 Nx]``: spectra of a few emitters, added up by frame and blur node."""
    centred = tf.matmul(coefficients, basis)
    phases = tf.reshape(tf.matmul(down, across, transpose_a=True), tf.shape(centred))
    frames = tf.one_hot(frame_of, batch)[:, :, None] * weights[:, None, :]
    frames = tf.reshape(frames, [tf.shape(frame_of)[0], -1])
    return tf.matmul(frames, _complex_product(centred, phases), transpose_a=True)


@tf.custom_gradient
def _complex_product(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Return the product of complex numbers ``[E, 2 N]`` whose parts come in turn."""
    x, y = _as_complex(a), _as_complex(b)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        g = _as_complex(upstream)
        return _as_parts(g * tf.math.conj(y)), _as_parts(g * tf.math.conj(x))

    return _as_parts(x * y), gradient


def _as_complex(parts: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(parts)
    return tf.bitcast(tf.reshape(parts, [shape[0], shape[1] // 2, 2]), tf.complex64)


def _as_parts(value: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(value)
    return tf.reshape(tf.bitcast(value, tf.float32), [shape[0], 2 * shape[1]])


def _blur_matrix(sigma_px: float, size_px: int) -> np.ndarray:
    """Return ``[size, size]``: convolution with exp(-t²/2σ²)/(σ√2π), |t| ≤ 4 pixels, zero outside."""
    distance = np.abs(np.subtract.outer(np.arange(size_px), np.arange(size_px)))
    kernel = np.exp(-(distance**2) / (2 * sigma_px**2)) / (sigma_px * math.sqrt(2 * math.pi))
    return np.where(distance <= BLUR_HALF_WIDTH_PX, kernel, 0.0)


def _sigma_nodes(sigma_range_px: tuple[float, float], tolerance: float, one_blur: bool) -> np.ndarray:
    """Return the blurs between which others are interpolated; the middle one if it may stand for a narrow range."""
    low, high = sigma_range_px
    middle, half = (low + high) / 2, (high - low) / 2
    if half == 0 or (one_blur and half <= 0.015 * middle):
        return np.array([middle])
    taps = np.arange(-BLUR_HALF_WIDTH_PX, BLUR_HALF_WIDTH_PX + 1)

    def kernels(sigma: np.ndarray) -> np.ndarray:
        line = np.exp(-(taps**2) / (2 * sigma[:, None] ** 2)) / (sigma[:, None] * math.sqrt(2 * math.pi))
        return (line[:, :, None] * line[:, None, :]).reshape(len(sigma), -1)

    tried = np.linspace(low, high, 41)
    wanted = kernels(tried)
    for count in range(2, 12):
        nodes = middle + half * np.cos(np.pi * (np.arange(count) + 0.5) / count)
        weights = np.stack([np.prod([(tried - o) / (n - o) for o in nodes if o != n], axis=0) for n in nodes], axis=1)
        error = np.linalg.norm(weights @ kernels(nodes) - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        if error.max() <= tolerance:
            break
    return nodes
