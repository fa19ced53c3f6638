"""Joint maximum likelihood of emitters and background: Fisher scoring with Levenberg–Marquardt damping."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from ds3d_tf.refinement.normal_equations import System, normal_equations
from ds3d_tf.refinement.scene import BLUR, PHOTONS, Scene

# Largest change of (x, y, z, photons, blur) in one step: µm, µm, µm, relative, pixels.
_MAX_STEP = np.array([0.12, 0.12, 0.2, np.inf, 0.15])
MIN_PHOTONS = 1.0
_MIN_DAMPING, _MAX_DAMPING = 1e-4, 1e4
_LARGE_SYSTEM = 500
# A part larger than this share of its frame is no easier to fit than the frame.
_LOCAL_SHARE = 0.6
# Two knots: the background below an image moves without what lies beyond.
_BACKGROUND_ROOM_PX = 24


@dataclass(frozen=True, eq=False)
class Fit:
    """Emitters and background of a scene, and how well they explain it.

    Attributes:
        emitters: float64 ``[E, 5]`` (x, y, z in µm, photons, blur in pixels).
        background: float64 ``[P Q]``, coefficients of the B-splines, photoelectrons a pixel.
        mean: float32 ``[H, W]``, expected photoelectrons a pixel.
        tails: float32 ``[H, W]``, what the emitters' wide images add to their core images, photoelectrons.
        value: log-likelihood less the penalties, no unit.
    """

    emitters: np.ndarray
    background: np.ndarray
    mean: np.ndarray
    tails: np.ndarray
    value: float


def empty_fit(scene: Scene) -> Fit:
    """Return the start of a scene without emitters: a flat background at a low level of the data."""
    used = (scene.frame.data - scene.outside)[scene.frame.valid > 0]
    level = float(np.percentile(used, 30)) if used.size else 0.0
    background = np.full(scene.spline.shape[0] * scene.spline.shape[1], level)
    return evaluate(scene, np.zeros((0, 5)), background)


def evaluate(scene: Scene, emitters: np.ndarray, background: np.ndarray) -> Fit:
    """Return the scene's explanation by given emitters and background.

    Args:
        scene: the frame.
        emitters: float64 ``[E, 5]`` (x, y, z in µm, photons, blur in pixels).
        background: float64 ``[P Q]``, coefficients of the B-splines, photoelectrons a pixel.
    """
    core = scene.light(scene.model.core, emitters)
    tails = scene.light(scene.model.wide, emitters) - core
    mean = scene.outside + core + tails + scene.spline.surface(background)
    return Fit(emitters, background, mean, tails, _value(scene, emitters, background, mean))


def _value(scene: Scene, emitters: np.ndarray, background: np.ndarray, mean: np.ndarray) -> float:
    bends = background @ scene.spline.roughness @ background / scene.bending**2
    if scene.bend_pull is not None:
        bends += 2 * (background @ scene.bend_pull) / scene.bending**2
    return scene.frame.log_likelihood(mean) - bends / 2 - _blur_penalty(scene, emitters)


def _blur_penalty(scene: Scene, emitters: np.ndarray) -> float:
    if not scene.fit_blur:
        return 0.0
    return float(np.sum(((emitters[:, BLUR] - scene.blur_px) / scene.blur_sigma_px) ** 2)) / 2


def refit(
    scene: Scene,
    start: Fit,
    free: np.ndarray | None = None,
    *,
    max_steps: int = 8,
    tolerance: float = 0.1,
    damping: float = 1e-2,
) -> Fit:
    """Return a fit improved in the free emitters and the background, the other emitters held.

    Args:
        scene: the frame.
        start: where to begin.
        free: int ``[F]``, indices of the emitters that move; None: all.
        max_steps: steps at most.
        tolerance: the fit ends when a step should gain less than this in log-likelihood.
        damping: initial damping, relative to the diagonal of the Fisher information.
    """
    free = np.arange(len(start.emitters)) if free is None else np.asarray(free, np.int64)
    local = _Local(scene, start, free)
    return local.finished(_improved(local, max_steps, tolerance, damping))


def refit_nearby(
    scene: Scene, start: Fit, free: np.ndarray, *, max_steps: int = 6, tolerance: float = 0.1, damping: float = 1e-2
) -> Fit:
    """Return a fit improved in a few emitters, the others and the background held, from the pixels around them alone.

    Args:
        scene: the frame.
        start: where to begin.
        free: int ``[F]``, indices of the emitters that move.
        max_steps: steps at most.
        tolerance: the fit ends when a step should gain less than this in log-likelihood.
        damping: initial damping, relative to the diagonal of the Fisher information.
    """
    free = np.asarray(free, np.int64)
    if not len(free):
        return evaluate_at(scene, start, free, start.emitters[free])
    box = scene.surroundings(start.emitters[free, :3])
    part = scene.part(*box)
    inside = Fit(start.emitters[free], np.zeros(0), start.mean[box], start.tails[box], -np.inf)
    local = _Local(part, inside, np.arange(len(free)))
    local.limits = scene.limits()
    return evaluate_at(scene, start, free, _improved(local, max_steps, tolerance, damping).emitters)


def refit_around(
    scene: Scene,
    start: Fit,
    free: np.ndarray,
    xyz_um: np.ndarray,
    *,
    max_steps: int = 4,
    tolerance: float = 0.1,
    damping: float = 1e-2,
) -> Fit:
    """Return a fit improved in a few emitters and the background around a place, all else held.

    Args:
        scene: the frame.
        start: where to begin.
        free: int ``[F]``, indices of the emitters that move.
        xyz_um: float ``[N, 3]`` (x, y, z), µm, places that the background is fitted around besides these emitters.
        max_steps: steps at most.
        tolerance: the fit ends when a step should gain less than this in log-likelihood.
        damping: initial damping, relative to the diagonal of the Fisher information.
    """
    free = np.asarray(free, np.int64)
    box = scene.surroundings(np.concatenate([start.emitters[free, :3], xyz_um]), _BACKGROUND_ROOM_PX)
    if (box[0].stop - box[0].start) * (box[1].stop - box[1].start) > _LOCAL_SHARE * start.mean.size:
        return refit(scene, start, free, max_steps=max_steps, tolerance=tolerance, damping=damping)
    part, chosen = scene.part_with_background(*box, start.background)
    inside = Fit(start.emitters[free], start.background[chosen], start.mean[box], start.tails[box], -np.inf)
    local = _Local(part, inside, np.arange(len(free)))
    local.limits = scene.limits()
    point = _improved(local, max_steps, tolerance, damping)
    background = start.background.copy()
    background[chosen] = point.background
    mean = start.mean.copy()
    mean[box] += part.spline.surface(point.background - start.background[chosen])
    return evaluate_at(scene, Fit(start.emitters, background, mean, start.tails, -np.inf), free, point.emitters)


def evaluate_at(scene: Scene, fit: Fit, free: np.ndarray, moved: np.ndarray) -> Fit:
    """Return a fit with some of its emitters elsewhere.

    Args:
        scene: the frame.
        fit: the fit.
        free: int ``[F]``, indices of the emitters that move.
        moved: float64 ``[F, 5]`` (x, y, z in µm, photons, blur in pixels), what they become.
    """
    emitters = fit.emitters.copy()
    emitters[free] = moved
    core, wide = scene.model.core, scene.model.wide
    before, after = (scene.light(wide, some) for some in (fit.emitters[free], moved))
    tails = fit.tails + (after - scene.light(core, moved)) - (before - scene.light(core, fit.emitters[free]))
    mean = fit.mean + (after - before)
    return Fit(emitters, fit.background, mean, tails, _value(scene, emitters, fit.background, mean))


def _improved(local: _Local, max_steps: int, tolerance: float, damping: float) -> _Point:
    current = local.at(local.start.emitters[local.free], local.start.background)
    steps = 0
    while steps < max_steps:
        system = local.system(current)
        improved = None
        while steps < max_steps and damping <= _MAX_DAMPING:
            steps += 1
            emitters, background, expected_gain = local.step(current, system, damping)
            if expected_gain < tolerance / 4:
                break
            trial = local.at(emitters, background)
            if trial.value > current.value:
                improved = trial
                damping = max(damping / 5, _MIN_DAMPING)
                break
            damping *= 8
        if improved is None:
            break
        gained = improved.value - current.value
        current = improved
        if gained < tolerance:
            break
    return current


@dataclass(frozen=True, eq=False)
class _Point:
    emitters: np.ndarray
    background: np.ndarray
    derivatives: np.ndarray
    mean: np.ndarray
    value: float


class _Local:
    """A fit's fixed part: all that does not change while some emitters and the background move."""

    def __init__(self, scene: Scene, start: Fit, free: np.ndarray) -> None:
        self.scene, self.start, self.free = scene, start, free
        self.core = scene.light(scene.model.core, start.emitters[free])
        self.fixed = start.mean - self.core - scene.spline.surface(start.background)
        held = np.delete(start.emitters, free, axis=0)
        self.held_penalty = _blur_penalty(scene, held)
        self.limits = scene.limits()

    def at(self, emitters: np.ndarray, background: np.ndarray) -> _Point:
        scene = self.scene
        derivatives = scene.model.core.derivatives(emitters[:, :3], emitters[:, BLUR])
        mean = self.fixed + scene.spline.surface(background)
        for image, photons, (rows, columns, inner_rows, inner_columns) in zip(
            derivatives[:, 0],
            emitters[:, PHOTONS].astype(np.float32),
            scene.windows(scene.model.core, emitters[:, :3]),
            strict=True,
        ):
            mean[rows, columns] += photons * image[inner_rows, inner_columns]
        value = _value(scene, emitters, background, mean) - self.held_penalty
        return _Point(emitters, background, derivatives, mean, value)

    def system(self, point: _Point) -> System:
        return normal_equations(self.scene, point.emitters, point.background, point.derivatives, point.mean)

    def step(self, point: _Point, system: System, damping: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Return the next emitters and background, and the gain that the quadratic model promises."""
        change = _solved(system.information, damping, system.score)
        if change is None:
            return point.emitters, point.background, 0.0
        gain = float(system.score @ change) / 2
        change = change * system.scale
        count = len(point.emitters)
        moves = np.zeros((count, 5))
        per = 5 if self.scene.fit_blur else 4
        moves[:, :per] = change[: count * per].reshape(count, per)
        moves = np.clip(moves, -_MAX_STEP, _MAX_STEP)
        emitters = np.clip(point.emitters + moves, *self.limits)
        emitters[:, PHOTONS] = np.maximum(
            emitters[:, PHOTONS], np.maximum(0.2 * point.emitters[:, PHOTONS], MIN_PHOTONS)
        )
        return emitters, point.background + change[count * per :], gain

    def finished(self, point: _Point) -> Fit:
        """Return the whole scene's fit, the faint outer parts of the images moved to where their emitters are now."""
        scene, emitters = self.scene, self.start.emitters.copy()
        emitters[self.free] = point.emitters
        surface = scene.spline.surface(point.background)
        core = point.mean - self.fixed - surface
        if len(self.free) == len(emitters):
            tails = scene.light(scene.model.wide, emitters) - core
        else:
            before = scene.light(scene.model.wide, self.start.emitters[self.free]) - self.core
            tails = self.start.tails + scene.light(scene.model.wide, point.emitters) - core - before
        mean = point.mean + (tails - self.start.tails)
        return Fit(emitters, point.background, mean, tails, _value(scene, emitters, point.background, mean))


def _solved(information: np.ndarray, damping: float, score: np.ndarray) -> np.ndarray | None:
    """Return (information + damping)⁻¹ score, or None if that is not positive definite.

    Large systems are solved in single precision, twice as fast: a step need not be exact.
    """
    for dtype in (np.float32, np.float64) if len(score) >= _LARGE_SYSTEM else (np.float64,):
        damped = (information + damping * np.eye(len(score))).astype(dtype)
        with contextlib.suppress(LinAlgError):
            factor = cho_factor(damped, lower=True, overwrite_a=True, check_finite=False)
            change = cho_solve(factor, score.astype(dtype), check_finite=False)
            if np.isfinite(change).all():
                return np.asarray(change, np.float64)
    return None
