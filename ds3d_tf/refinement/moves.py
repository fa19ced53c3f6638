"""Moves from one explanation of a frame to a better one: add, drop, take away and re-seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from ds3d_tf.refinement.fit import Fit, refit, refit_around, refit_nearby
from ds3d_tf.refinement.normal_equations import normal_equations
from ds3d_tf.refinement.scene import BLUR, PHOTONS, Scene
from ds3d_tf.refinement.search import Candidates, Templates, candidates, signal_to_noise
from ds3d_tf.refinement.split import splits

# A molecule's neighbours, which move along when it is changed: at most so many, and so near.
_MAX_NEIGHBOURS = 6
_NEIGHBOUR_UM = 2.5
_SEED_DISTANCE_UM = 1.5
_PEAK_DISTANCE_PX = 5
_MAX_PRUNINGS = 6
_NEAR_CALL = 2.0
_TWIN_UM = 0.4
_JUMP_REACH_UM, _MIN_JUMP_UM, _RIDGE_JUMP_UM, _MAX_JUMPS = 0.6, 0.15, 0.3, 3


@dataclass(frozen=True, eq=False)
class Rules:
    """What a decision needs to know.

    Attributes:
        table: templates of the search.
        gain: log-likelihood that a further emitter must gain.
        snr: signal-to-noise ratio from which a peak of the residual is tried.
    """

    table: Templates
    gain: float
    snr: float

    def score(self, fit: Fit) -> float:
        """Return a fit's value less what its emitters must gain."""
        return fit.value - self.gain * len(fit.emitters)


def with_emitters(scene: Scene, fit: Fit, new: np.ndarray) -> Fit:
    """Return a fit with further emitters, not yet refitted.

    Args:
        scene: the frame.
        fit: its explanation.
        new: float64 ``[N, 5]`` (x, y, z in µm, photons, blur in pixels).
    """
    light = scene.light(scene.model.wide, new)
    core = scene.light(scene.model.core, new)
    return _changed(scene, fit, np.concatenate([fit.emitters, new]), fit.mean + light, fit.tails + light - core)


def without_emitters(scene: Scene, fit: Fit, gone: np.ndarray) -> Fit:
    """Return a fit without some emitters, not yet refitted.

    Args:
        scene: the frame.
        fit: its explanation.
        gone: int ``[N]``, indices of the emitters.
    """
    light = scene.light(scene.model.wide, fit.emitters[gone])
    core = scene.light(scene.model.core, fit.emitters[gone])
    kept = np.delete(fit.emitters, gone, axis=0)
    return _changed(scene, fit, kept, fit.mean - light, fit.tails - (light - core))


def _changed(scene: Scene, fit: Fit, emitters: np.ndarray, mean: np.ndarray, tails: np.ndarray) -> Fit:
    return Fit(emitters, fit.background, mean, tails, -np.inf)


def neighbours(fit: Fit, xyz_um: np.ndarray, but: int | None = None) -> np.ndarray:
    """Return the emitters laterally nearest to a place, int ``[N]`` (indices).

    Args:
        fit: the emitters.
        xyz_um: float ``[3]`` (x, y, z), µm.
        but: an emitter to leave out.
    """
    distance = np.hypot(*(fit.emitters[:, :2] - xyz_um[:2]).T)
    if but is not None:
        distance[but] = np.inf
    nearest = np.argsort(distance, kind="stable")[:_MAX_NEIGHBOURS]
    return nearest[distance[nearest] < _NEIGHBOUR_UM]


def covariance(scene: Scene, fit: Fit) -> np.ndarray:
    """Return the covariance of all emitters by the joint Fisher information, background fitted along.

    Args:
        scene: the frame.
        fit: its explanation.

    Returns:
        float64 ``[E, 5, 5]`` of each emitter's x, y, z (µm), photons, blur (pixels; 0 where it is not fitted).
    """
    count, per = len(fit.emitters), 5 if scene.fit_blur else 4
    result = np.zeros((count, 5, 5))
    if not count:
        return result
    derivatives = scene.model.core.derivatives(fit.emitters[:, :3], fit.emitters[:, BLUR])
    system = normal_equations(scene, fit.emitters, fit.background, derivatives, fit.mean)
    size = len(system.score)
    factor, failed = dpotrf(system.information + 1e-9 * np.eye(size), lower=1, overwrite_a=1)
    if failed:
        inverse = np.linalg.pinv(system.information, hermitian=True)
    else:
        inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
    inverse *= system.scale[:, None] * system.scale
    for index in range(count):
        part = slice(index * per, (index + 1) * per)
        result[index, :per, :per] = inverse[part, part]
    return result


def add_candidates(scene: Scene, fit: Fit, rules: Rules, max_count: int) -> tuple[Fit, int]:
    """Return a fit with the residual's peaks added as emitters, not yet refitted, and their number."""
    ratio, denominator = signal_to_noise(scene, fit, rules.table)
    found = candidates(
        scene, rules.table, ratio, denominator, rules.snr, max_count=max_count, distance_px=_PEAK_DISTANCE_PX
    )
    kept = found.emitters[found.snr >= 0.4 * found.snr.max(initial=0)]
    return (with_emitters(scene, fit, kept) if len(kept) else fit), len(kept)


def prune(scene: Scene, fit: Fit, rules: Rules) -> Fit:
    """Return a fit without the emitters whose loss costs less log-likelihood than an emitter must gain."""
    for _ in range(_MAX_PRUNINGS):
        if not len(fit.emitters):
            return fit
        strength = strengths(scene, fit)
        # Of two at nearly one place neither is strong, and yet the frame may need both. One that is weak by itself stands
        # for a piece of background, whatever it gains.
        hopeless = np.flatnonzero((strength < 0.3 * rules.gain) & ~_has_a_twin(fit))
        if len(hopeless):
            fit = refit(scene, without_emitters(scene, fit, hopeless), max_steps=4)
            continue
        doubtful = np.flatnonzero(strength < 2 * rules.gain)
        before = fit
        for place in fit.emitters[doubtful[np.argsort(strength[doubtful], kind="stable")], :3]:
            index = nearest(fit, place)
            trial = _without(scene, fit, np.array([index]))
            if 0 <= rules.score(fit) - rules.score(trial) < _NEAR_CALL:
                # A background held far from the place still speaks for the emitter.
                trial = refit(scene, trial, max_steps=4)
            if rules.score(trial) > rules.score(fit):
                fit = trial
        if fit is before:
            return fit
        fit = refit(scene, fit, max_steps=4)
    return fit


def _has_a_twin(fit: Fit) -> np.ndarray:
    distance = np.hypot(*(fit.emitters[:, None, :2] - fit.emitters[None, :, :2]).T)
    return np.asarray((distance < _TWIN_UM).sum(axis=0) > 1)


def nearest(fit: Fit, xyz_um: np.ndarray) -> int:
    """Return the index of the emitter nearest to a place.

    Args:
        fit: the emitters, at least one.
        xyz_um: float ``[3]`` (x, y, z), µm.
    """
    return int(np.argmin(np.sum((fit.emitters[:, :3] - xyz_um) ** 2, axis=1)))


def _without(scene: Scene, fit: Fit, gone: np.ndarray) -> Fit:
    fewer = without_emitters(scene, fit, gone)
    around = neighbours(fewer, fit.emitters[gone, :3].mean(axis=0))
    # The background moves along: held, it would make every emitter seem to be needed.
    return refit_around(scene, fewer, around, fit.emitters[gone, :3], max_steps=4)


def reseed(scene: Scene, fit: Fit, gone: np.ndarray, rules: Rules) -> Fit:
    """Return the better of a fit and what comes of taking some emitters away and looking what is missing.

    Args:
        scene: the frame.
        fit: its present explanation.
        gone: int ``[N]``, indices of the emitters to take away: one, or two that may be one.
        rules: thresholds and templates.
    """
    place = fit.emitters[gone, :3].mean(axis=0)
    reach_um = float(np.hypot(*(fit.emitters[gone, :2] - place[:2]).T).max()) + _SEED_DISTANCE_UM
    trial = _without(scene, fit, gone)
    best = fit if rules.score(fit) >= rules.score(trial) else trial
    old = len(trial.emitters)
    around = neighbours(trial, place)
    for _ in range(2):
        found = _near(scene, trial, fit.mean, place, reach_um, rules)
        if not len(found.emitters):
            break
        trial = with_emitters(scene, trial, found.emitters[:1])
        free = np.concatenate([around, np.arange(old, len(trial.emitters))])
        trial = refit_nearby(scene, trial, free, max_steps=6)
        if rules.score(trial) > rules.score(best) + 0.5:
            best = trial
    return best


def _near(scene: Scene, fit: Fit, expected: np.ndarray, place: np.ndarray, reach_um: float, rules: Rules) -> Candidates:
    # What was taken away had made the pixels noisier: without it a search would look at its brightest pixels alone.
    ratio, denominator = signal_to_noise(scene, fit, rules.table, expected)
    scale = scene.model.core.pixels_per_um
    pixel = place[1::-1] * scale + np.array(scene.centre_px)
    return candidates(
        scene,
        rules.table,
        ratio,
        denominator,
        rules.snr,
        max_count=2,
        distance_px=_PEAK_DISTANCE_PX,
        near=(pixel, reach_um * scale),
    )


def jump(scene: Scene, fit: Fit, gone: np.ndarray, rules: Rules) -> Fit:
    """Return the better of a fit and what it becomes with an emitter at another depth, and moved sideways with it.

    Images of other depths and places may be alike: each depth's best place nearby is a start, where the matched filter
    is higher than at the depths beside it.

    Args:
        scene: the frame.
        fit: its present explanation.
        gone: int ``[N]``, indices of the emitter and of others that are taken away with it.
        rules: thresholds and templates.
    """
    place = fit.emitters[gone[0], :3]
    trial = _without(scene, fit, gone)
    ratio, denominator = signal_to_noise(scene, trial, rules.table, fit.mean)
    scale, z_um = scene.model.core.pixels_per_um, rules.table.z_um
    row, column = place[1::-1] * scale + np.array(scene.centre_px)
    rows, columns = np.ogrid[: ratio.shape[1], : ratio.shape[2]]
    near = (rows - row) ** 2 + (columns - column) ** 2 <= (_JUMP_REACH_UM * scale) ** 2
    seen = np.where(near, ratio, -np.inf).reshape(len(z_um), -1)
    pixel = seen.argmax(axis=1)
    height = seen[np.arange(len(z_um)), pixel]
    peak = (height >= np.r_[-np.inf, height[:-1]]) & (height >= np.r_[height[1:], -np.inf])
    away = np.abs(z_um - place[2])
    # Besides: a step into the range, where a ridge of the filter hides the peak.
    peak |= away == np.min(away[away > _RIDGE_JUMP_UM], initial=np.inf)
    depths = np.flatnonzero(peak & (height >= rules.snr) & (away > _MIN_JUMP_UM))
    best, around = fit, neighbours(trial, place)
    for depth in depths[np.argsort(-height[depths], kind="stable")][:_MAX_JUMPS]:
        at_row, at_column = divmod(int(pixel[depth]), ratio.shape[2])
        x_um, y_um = (at_column - scene.centre_px[1]) / scale, (at_row - scene.centre_px[0]) / scale
        photons = height[depth] / denominator[depth, at_row, at_column]
        start = with_emitters(scene, trial, np.array([[x_um, y_um, z_um[depth], photons, scene.blur_px]]))
        free = np.r_[around, len(start.emitters) - 1]
        moved = refit_around(scene, start, free, start.emitters[-1:, :3], max_steps=10)
        if rules.score(moved) > rules.score(best) + 0.5:
            best = moved
    return best


def suspicion(scene: Scene, fit: Fit, sigma: np.ndarray) -> np.ndarray:
    """Return how likely each emitter is wrong: float64 ``[E]``, µm, for ordering; a good one's is its uncertainty.

    Args:
        scene: the frame.
        fit: its explanation.
        sigma: float64 ``[E, 5]``, standard deviations of x, y, z (µm), photons, blur (pixels).
    """
    chi2, spread = window_chi2(scene, fit)
    width = np.sqrt(np.sum(sigma[:, :3] ** 2, axis=1))
    return np.maximum(1 + (chi2 - 1) / spread, 0.2) * width


def window_chi2(scene: Scene, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return the reduced χ² around each emitter, weighted by its image, and the standard deviation of pure noise's.

    Both float64 ``[E]``, no unit.
    """
    squares = scene.frame.whitened(fit.mean) ** 2
    images = scene.model.core.images(fit.emitters[:, :3], fit.emitters[:, BLUR])
    chi2, spread = np.ones(len(images)), np.ones(len(images))
    for index, (rows, columns, inner_rows, inner_columns) in enumerate(
        scene.windows(scene.model.core, fit.emitters[:, :3])
    ):
        weights = images[index, inner_rows, inner_columns] * scene.frame.valid[rows, columns]
        weights = np.maximum(weights, 0)
        total = float(weights.sum())
        if total > 0:
            chi2[index] = float(np.sum(weights * squares[rows, columns])) / total
            spread[index] = np.sqrt(2 * float(np.sum(weights**2))) / total
    return chi2, spread


def split_emitters(scene: Scene, fit: Fit, rules: Rules, min_gain: float, max_count: int) -> Fit:
    """Return a fit in which emitters that look like two are two, each kept if it earns its place."""
    promised = splits(scene, fit)
    order = np.argsort(-promised.gain, kind="stable")[:max_count]
    places = [(fit.emitters[k].copy(), promised.half_um[k]) for k in order if promised.gain[k] >= min_gain]
    for emitter, half in places:
        index = nearest(fit, emitter[:3])
        pair = np.repeat(fit.emitters[index][None], 2, axis=0)
        pair[:, :3] += np.stack([half, -half])
        pair[:, PHOTONS] /= 2
        pair[:, BLUR] = scene.blur_px
        around = neighbours(fit, emitter[:3], but=index)
        around = around - (around > index)
        trial = with_emitters(scene, without_emitters(scene, fit, np.array([index])), pair)
        count = len(trial.emitters)
        trial = refit_nearby(scene, trial, np.concatenate([around, [count - 2, count - 1]]), max_steps=8)
        if rules.score(trial) > rules.score(fit):
            fit = trial
    return fit


def search_deeper(scene: Scene, fit: Fit, rules: Rules, snr: float) -> Fit:
    """Return the better of a fit and what it becomes with all of the residual's fainter peaks, fitted and pruned.

    A missing emitter bends its neighbours until little of it is left in the residual: only a joint fit tells.
    """
    ratio, denominator = signal_to_noise(scene, fit, rules.table)
    count = 4 + len(fit.emitters) // 3
    found = candidates(scene, rules.table, ratio, denominator, snr, max_count=count, distance_px=_PEAK_DISTANCE_PX)
    if not len(found.emitters):
        return fit
    trial = refit(scene, with_emitters(scene, fit, found.emitters), max_steps=5)
    strength = strengths(scene, trial)
    trial = refit(scene, without_emitters(scene, trial, np.flatnonzero(strength < rules.gain)), max_steps=4)
    return trial if rules.score(trial) > rules.score(fit) else fit


def strengths(scene: Scene, fit: Fit) -> np.ndarray:
    """Return about what each emitter gains in log-likelihood: half its squared photons over their variance, ``[E]``."""
    variance = np.maximum(covariance(scene, fit)[:, PHOTONS, PHOTONS], 1e-30)
    return np.asarray(fit.emitters[:, PHOTONS] ** 2 / variance / 2)
