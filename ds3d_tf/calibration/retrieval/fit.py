"""The descent of phase retrieval, from coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from ds3d_tf.calibration.retrieval.loss import misfit, roughness, signal_and_background
from ds3d_tf.calibration.retrieval.model import BeadStackModel
from ds3d_tf.calibration.retrieval.options import RetrievalOptions, RetrievedMask
from ds3d_tf.calibration.retrieval.stack import bead_centre_px, correlations
from ds3d_tf.optics.zernike import noll_to_nm, zernike
from ds3d_tf.setup.sections import OpticsSection

# Fractions of the pupil's diameter over which the gradient is smoothed, from coarse to fine.
COARSE_TO_FINE = (0.037, 0.028, 0.020, 0.013, 0.007)
FINEST = 0.0032
FOLD_WIDTH = 0.02
BATCHES_AN_EPOCH = 3
CHUNK_SLICES = 6
STALLED = 5e-4  # improvement of -2 log likelihood a pixel, over an epoch
# Typical phase steps and curvatures, rad, on a pupil of 100 SLM pixels' diameter. Masks as printed or shown are
# rougher than designs: slices kept aside choose between the curvatures.
TYPICAL_STEP_RAD = 0.35
TYPICAL_CURVATURES_RAD = (0.2, 0.6, 2.0)
FEWEST_SLICES_TO_CHOOSE = 10
_LEARNING_RATE_RAD = 0.1
_LEARNING_RATE_GEOMETRY = 0.02


@dataclass
class RetrievalFit:
    """One run of phase retrieval: :func:`ds3d_tf.calibration.retrieval.retrieve.retrieve` sets it up.

    Attributes:
        model: the forward model.
        optics: the setup's optics section.
        stack: float32 ``[S, H, W]``, counts.
        nfp_um: float32 ``[S]``, nominal focus position of each slice, µm.
        options: how to retrieve.
    """

    model: BeadStackModel
    optics: OpticsSection
    stack: np.ndarray
    nfp_um: np.ndarray
    options: RetrievalOptions
    steps: int = 0
    _gradient: Any = field(init=False)

    def __post_init__(self) -> None:
        self.used = np.setdiff1d(np.arange(len(self.stack)), self.options.left_out)
        pixel = self.optics.pixel_um
        size = self.model.size_px
        self.phase = tf.Variable(tf.zeros([size, size]))
        # offset x, y (pixels), drift x, y (pixels/µm), focus (1/3 µm), log of blur, log of focus scale: all of order 1
        x, y = bead_centre_px(self.stack[self.used])
        self.geometry = tf.Variable([x, y, 0.0, 0.0, 0.0, float(np.log(self.options.blur_sigma_px)), 0.0])
        self._released = tf.Variable([1.0] * 6 + [0.0])
        self._scale = tf.constant([pixel, pixel, pixel, pixel, 1 / 3], tf.float32)
        self._inside = tf.constant(self.model.support, tf.float32)
        self._neutral = tf.constant(self._piston_tilt_defocus(), tf.float32)
        self._pupil_px = self.optics.pupil_diameter_px
        pixels = len(self.used) * self.stack[0].size
        fineness = self._pupil_px / 100
        self._step_prior = fineness**0 / TYPICAL_STEP_RAD**2 / pixels
        self._curvature_prior = fineness**2 / pixels
        self._gradient = tf.function(self._gradient_of_chunk, reduce_retracing=True)
        self._rng = np.random.default_rng(self.options.seed)
        self._middle_um = float(np.mean(self.nfp_um))

    def run(self, progress: Callable[[int, int, float], None]) -> RetrievedMask:
        """Fit and return the result; ``progress`` is called after each step with (step, most steps, misfit)."""
        most = self.options.max_steps
        share = {"zernike": 0.1, "coarse": 0.07, "choice": 0.09, "fine": 0.2}

        def report(value: float) -> None:
            progress(self.steps, most, value)

        # The scale of the focus positions is free at first, which tells whether their unit of length is right.
        self._released.assign(tf.ones(7))
        if self.options.zernike_terms >= 4:
            self._zernike_start(int(share["zernike"] * most), report)
        optimizers = self._optimizers()
        for smoothing in COARSE_TO_FINE:
            self._stage(smoothing, (self._step_prior, 0.0), int(share["coarse"] * most), optimizers, report)
        scale = float(np.exp(self.geometry[6]))
        self._released.assign([1.0] * 6 + [0.0])
        self.geometry.assign(tf.concat([self.geometry[:6], [0.0]], 0))
        self._let_folds_slip()
        prior = self._choose_prior(int(share["choice"] * most), report)
        self._stage(FINEST, prior, int(share["fine"] * most), self._optimizers(), report)
        last = self._cool_down(FINEST, prior, max(most - self.steps, 1), report)
        return replace(self._result(last), focus_scale=scale)

    def _zernike_start(self, most: int, report: Callable[[float], None]) -> None:
        """Fit Zernike coefficients alone (no piston, tilt, defocus)."""
        pupil = self.model.grids.pupil_x[self.model.crop]
        modes = [n for n in range(4, self.options.zernike_terms + 1) if noll_to_nm(n) != (2, 0)]
        basis = np.stack([zernike(n, pupil[None, :], pupil[:, None]) for n in modes], axis=-1)
        basis = tf.constant(basis * self.model.support[:, :, None], tf.float32)
        coefficients = tf.Variable(tf.zeros([len(modes)]))
        for_modes, for_geometry = keras.optimizers.Adam(_LEARNING_RATE_RAD), self._optimizers()[1]
        losses = []
        for batch in self._batches(most):
            value, to_phase, to_geometry = self._full_gradient(batch, 0.0, (0.0, 0.0))
            to_modes = tf.einsum("ij,ijk->k", to_phase, basis)
            for_modes.apply_gradients([(to_modes, coefficients)])
            for_geometry.apply_gradients([(to_geometry, self.geometry)])
            self.phase.assign(tf.einsum("ijk,k->ij", basis, coefficients))
            losses.append(value)
            report(value)
            if self._stalled(losses):
                break

    def _stage(
        self,
        smoothing: float,
        prior: tuple[float, float],
        most: int,
        optimizers: tuple[Any, Any],
        report: Callable[[float], None],
    ) -> None:
        losses: list[float] = []
        for batch in self._batches(most):
            losses.append(self._descend(batch, smoothing, prior, optimizers))
            report(losses[-1])
            if self._stalled(losses):
                return

    def _choose_prior(self, most: int, report: Callable[[float], None]) -> tuple[float, float]:
        """Return the prior whose short fit explains slices kept aside best, and take over that fit."""
        everything = self.used
        aside = everything[len(everything) % 5 :: 5] if len(everything) >= FEWEST_SLICES_TO_CHOOSE else everything
        if len(aside) < len(everything):
            self.used = np.setdiff1d(everything, aside)
        start = (self.phase.numpy(), self.geometry.numpy())
        trials = []
        for curvature in TYPICAL_CURVATURES_RAD:
            self.phase.assign(start[0])
            self.geometry.assign(start[1])
            prior = (0.0, self._curvature_prior / curvature**2)
            self._stage(FINEST, prior, most, self._optimizers(), report)
            trials.append((self._misfit(aside), prior, self.phase.numpy(), self.geometry.numpy()))
        self.used = everything
        _, prior, phase, geometry = min(trials, key=lambda trial: trial[0])
        self.phase.assign(phase)
        self.geometry.assign(geometry)
        return prior

    def _misfit(self, chosen: np.ndarray) -> float:
        """Return the misfit of the chosen slices."""
        images = self._images(tf.constant(self.nfp_um[chosen]))
        return float(misfit(images, tf.constant(self.stack[chosen]), self.options.likelihood))

    def _cool_down(
        self, smoothing: float, prior: tuple[float, float], most: int, report: Callable[[float], None]
    ) -> float:
        """Go on with all slices in each step and ever smaller steps; return the last misfit."""
        optimizers = self._optimizers()
        steps = min(most, int(0.12 * self.options.max_steps) + 1)
        value = np.inf
        for step in range(steps):
            rate = 0.5 * (0.05 ** (step / steps))
            optimizers[0].learning_rate = rate * _LEARNING_RATE_RAD
            optimizers[1].learning_rate = rate * _LEARNING_RATE_GEOMETRY
            value = self._descend(self.used, smoothing, prior, optimizers)
            report(value)
        return value

    def _batches(self, most: int) -> Iterator[np.ndarray]:
        """Yield at most ``most`` batches of slices that take turns: each epoch holds every slice once."""
        given = 0
        while given < most:
            for batch in np.array_split(self._rng.permutation(self.used), min(BATCHES_AN_EPOCH, len(self.used))):
                if given == most:
                    return
                given += 1
                yield np.sort(batch)

    @staticmethod
    def _stalled(losses: list[float]) -> bool:
        epoch = BATCHES_AN_EPOCH
        if len(losses) < 4 * epoch or len(losses) % epoch:
            return False
        return bool(np.mean(losses[-2 * epoch : -epoch]) - np.mean(losses[-epoch:]) < STALLED)

    @staticmethod
    def _optimizers() -> tuple[Any, Any]:
        return keras.optimizers.Adam(_LEARNING_RATE_RAD), keras.optimizers.Adam(_LEARNING_RATE_GEOMETRY)

    def _descend(
        self, batch: np.ndarray, smoothing: float, prior: tuple[float, float], optimizers: tuple[Any, Any]
    ) -> float:
        value, to_phase, to_geometry = self._full_gradient(batch, smoothing, prior)
        optimizers[0].apply_gradients([(to_phase, self.phase)])
        optimizers[1].apply_gradients([(to_geometry, self.geometry)])
        flat = tf.reshape(self.phase, [-1, 1])
        flat -= self._neutral @ tf.matmul(self._neutral, flat, transpose_a=True)
        self.phase.assign(tf.reshape(flat, self.phase.shape))
        return value

    def _full_gradient(
        self, batch: np.ndarray, smoothing: float, prior: tuple[float, float]
    ) -> tuple[float, tf.Tensor, tf.Tensor]:
        """Return misfit and gradients of a batch, its slices worked on a few at a time."""
        value, to_phase, to_geometry = 0.0, tf.zeros_like(self.phase), tf.zeros_like(self.geometry)
        for begin in range(0, len(batch), CHUNK_SLICES):
            part = batch[begin : begin + CHUNK_SLICES]
            share = len(part) / len(batch)
            parts = self._gradient(tf.constant(self.stack[part]), tf.constant(self.nfp_um[part]), self._prior(prior))
            value += share * float(parts[0])
            to_phase += share * parts[1]
            to_geometry += share * parts[2]
        if smoothing:
            to_phase = _smoothed(to_phase, smoothing * self._pupil_px)
        self.steps += 1
        return value, to_phase, to_geometry

    @staticmethod
    def _prior(prior: tuple[float, float]) -> tf.Tensor:
        return tf.constant(prior, tf.float32)

    def _gradient_of_chunk(self, slices: tf.Tensor, nfp_um: tf.Tensor, prior: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            value = misfit(self._images(nfp_um), slices, self.options.likelihood)
            first, second = roughness(self.phase, self._inside)
            total = value + prior[0] * first + prior[1] * second
        to_phase, to_geometry = tape.gradient(total, [self.phase, self.geometry])
        return value, tf.convert_to_tensor(to_phase), tf.convert_to_tensor(to_geometry) * self._released

    def _images(self, nfp_um: tf.Tensor) -> tf.Tensor:
        scaled = self.geometry[:5] * self._scale
        from_middle = nfp_um - self._middle_um
        offset = scaled[None, :2] + from_middle[:, None] * scaled[None, 2:4]
        focus = self._middle_um + from_middle * tf.exp(self.geometry[6]) + scaled[4]
        return self.model(self.phase, offset, focus, tf.exp(self.geometry[5]))

    def _let_folds_slip(self) -> None:
        """Take out folds by ±2π that the coarse stages may have left: smooth exp(iφ), not φ."""
        phase = self.phase.numpy()
        wave = np.exp(1j * phase) * self.model.support
        sigma = FOLD_WIDTH * self._pupil_px
        smooth = gaussian_filter(wave.real, sigma) + 1j * gaussian_filter(wave.imag, sigma)
        folded = np.abs(smooth) < 0.6 * gaussian_filter(self.model.support.astype(float), sigma)
        self.phase.assign(phase + np.angle(smooth * wave.conj()) * (folded & self.model.support))

    def _piston_tilt_defocus(self) -> np.ndarray:
        """Return an orthonormal basis ``[S², 4]`` of what offsets and focus explain as well."""
        inside = self.model.support.ravel()
        place = np.arange(self.model.size_px) - (self.model.size_px - 1) / 2
        x, y = np.meshgrid(place, place)
        focus = self.model.grids.focus_rad[self.model.crop, self.model.crop]
        columns = np.stack([np.ones(inside.sum()), *(v.ravel()[inside] for v in (x, y, focus))], axis=1)
        basis = np.zeros((inside.size, 4))
        basis[inside] = np.linalg.qr(columns)[0]
        return basis

    def _result(self, last: float) -> RetrievedMask:
        parts = np.array_split(np.arange(len(self.stack)), -(-len(self.stack) // CHUNK_SLICES))
        shapes = np.concatenate([self._images(tf.constant(self.nfp_um[part])).numpy() for part in parts])
        signal, background = (
            v.numpy().astype(np.float64) for v in signal_and_background(shapes, self.stack, self.options.likelihood)
        )
        images = signal[:, None, None] * shapes + background[:, None, None]
        mask = np.zeros(self.model.grids.support.shape)
        mask[self.model.crop, self.model.crop] = self.phase.numpy() * self.model.support
        x, y, drift_x, drift_y, focus = (self.geometry[:5] * self._scale).numpy().astype(float)
        return RetrievedMask(
            mask_rad=mask,
            blur_sigma_px=float(np.exp(self.geometry[5])),
            offset_um=np.array([x, y]) - self._middle_um * np.array([drift_x, drift_y]),
            drift_um_per_um=np.array([drift_x, drift_y]),
            focus_offset_um=float(focus),
            signal=signal,
            background=background,
            correlation=correlations(shapes, self.stack),
            fitted=np.isin(np.arange(len(self.stack)), self.used),
            images=images.astype(np.float32),
            steps=self.steps,
            misfit=last,
            focus_scale=1.0,
        )


def _smoothed(gradient: tf.Tensor, sigma_px: float) -> tf.Tensor:
    reach = max(int(np.ceil(3 * sigma_px)), 1)
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma_px**2)).astype(np.float32)
    taps /= taps.sum()
    image = tf.nn.conv2d(gradient[None, :, :, None], taps[:, None, None, None], 1, "SAME")
    return tf.nn.conv2d(image, taps[None, :, None, None], 1, "SAME")[0, :, :, 0]
