"""One frame: from proposed emitters to the explanation that gains most, by fits and moves in turn."""

from __future__ import annotations

import numpy as np

from ds3d_tf.refinement.fit import MIN_PHOTONS, Fit, evaluate, refit
from ds3d_tf.refinement.images import Z_MARGIN_UM
from ds3d_tf.refinement.moves import (
    Rules,
    add_candidates,
    covariance,
    jump,
    neighbours,
    prune,
    reseed,
    search_deeper,
    split_emitters,
    strengths,
    suspicion,
    with_emitters,
    without_emitters,
)
from ds3d_tf.refinement.normal_equations import normal_equations
from ds3d_tf.refinement.scene import BLUR, PHOTONS, Scene, Z

_LEAST_SHARE = 0.05
# An emitter whose uncertainty, enlarged by its misfit, is smaller is not reconsidered.
_MIN_SUSPICION_UM = 0.03
_FAINT_GAINS = 6.0
_MAX_PARTNERS = 3
_SPLIT_GAIN, _MAX_SPLITS = 6.0, 6
# Emitters that nearly coincide converge slowly.
_LAST_STEPS = 25


def linear_start(scene: Scene, emitters: np.ndarray, empty: Fit) -> Fit:
    """Return a fit of the photons and the background alone: weighted linear least squares, twice.

    Args:
        scene: the frame.
        emitters: float64 ``[E, 5]`` (x, y, z in µm, photons, blur in pixels); the photons do not matter.
        empty: the scene without emitters.
    """
    emitters = emitters.copy()
    emitters[:, PHOTONS] = MIN_PHOTONS
    fit = with_emitters(scene, empty, emitters)
    if not len(emitters):
        return fit
    per, count = 5 if scene.fit_blur else 4, len(emitters)
    chosen = np.concatenate(
        [np.arange(count) * per + PHOTONS, np.arange(count * per, count * per + empty.background.size)]
    )
    derivatives = scene.model.core.derivatives(emitters[:, :3], emitters[:, BLUR])
    for _ in range(2):
        system = normal_equations(scene, fit.emitters, fit.background, derivatives, fit.mean)
        information = system.information[np.ix_(chosen, chosen)] + 1e-6 * np.eye(len(chosen))
        change = np.linalg.solve(information, system.score[chosen]) * system.scale[chosen]
        moved = fit.emitters.copy()
        moved[:, PHOTONS] += change[:count]
        least = max(_LEAST_SHARE * float(np.median(moved[:, PHOTONS])), MIN_PHOTONS)
        moved[:, PHOTONS] = np.maximum(moved[:, PHOTONS], least)
        fit = evaluate(scene, moved, fit.background + change[count:])
    return fit


def explain(scene: Scene, start: np.ndarray, empty: Fit, rules: Rules, max_rounds: int, max_tries: int) -> Fit:
    """Return the best explanation found of a frame.

    Args:
        scene: the frame.
        start: float64 ``[E, 5]`` (x, y, z in µm, photons, blur in pixels), proposed emitters.
        empty: the scene without emitters.
        rules: thresholds and templates.
        max_rounds: rounds of the search at most.
        max_tries: emitters taken away and re-seeded at most in a round.
    """
    fit = refit(scene, linear_start(scene, start, empty), max_steps=10)
    for _ in range(max_rounds):
        weak = np.flatnonzero(strengths(scene, fit) < 0.5 * rules.gain)
        if len(weak):
            fit = refit(scene, without_emitters(scene, fit, weak), max_steps=4)
        fit, added = add_candidates(scene, fit, rules, max_count=8 + len(fit.emitters) // 2)
        if not added:
            break
        fit = refit(scene, fit, max_steps=6)
    for _ in range(3):
        before = rules.score(fit)
        if len(fit.emitters):
            fit = split_emitters(scene, fit, rules, _SPLIT_GAIN, _MAX_SPLITS)
        fit = search_deeper(scene, fit, rules, rules.snr)
        fit = prune(scene, fit, rules)
        if rules.score(fit) < before + 1:
            break
    fit = refit(scene, _reconsider(scene, fit, rules, max_tries), max_steps=_LAST_STEPS)
    if len(fit.emitters):
        # What was taken away may have hidden that the one beside it is two.
        fit = refit(scene, split_emitters(scene, fit, rules, _SPLIT_GAIN, _MAX_SPLITS), max_steps=_LAST_STEPS)
    fit = prune(scene, fit, rules)
    return refit(scene, fit, max_steps=_LAST_STEPS, tolerance=0.002)


def _reconsider(scene: Scene, fit: Fit, rules: Rules, max_tries: int) -> Fit:
    """Return a fit whose most suspect emitters were taken away on trial, alone and with a neighbour.

    Suspect is who lies outside the setup's depths, who fits badly for its uncertainty, and who is faint: a faint
    one may be what a wrong place of a brighter one leaves over, and then each looks fine while the other is there.
    """
    tried: list[np.ndarray] = []
    for _ in range(max_tries):
        spread = covariance(scene, fit)
        sigma = np.sqrt(np.maximum(np.einsum("eii->ei", spread), 0))
        strength = (fit.emitters[:, PHOTONS] / np.maximum(sigma[:, PHOTONS], 1e-15)) ** 2 / 2
        doubt = np.maximum(
            suspicion(scene, fit, sigma) / _MIN_SUSPICION_UM, _FAINT_GAINS * rules.gain / np.maximum(strength, 1e-15)
        )
        # An emitter outside the depths that the setup has may have its best one elsewhere.
        doubt[_outside_the_depths(scene, fit.emitters)] = np.inf
        new = [
            k
            for k in np.argsort(-doubt, kind="stable")
            if doubt[k] > 1 and not any(np.abs(fit.emitters[k, :3] - t).max() < 0.03 for t in tried)
        ]
        if not new:
            break
        index = int(new[0])
        tried.append(fit.emitters[index, :3])
        before = fit
        others = neighbours(fit, tried[-1], but=index)[:_MAX_PARTNERS]
        taken = [np.array([index]), *(np.array([index, other]) for other in others)]
        for move in (jump, reseed) if np.isinf(doubt[index]) else (reseed,):
            for gone in taken if fit is before else ():
                fit = move(scene, fit, gone, rules)
                if fit is not before:
                    break
    return fit


def _outside_the_depths(scene: Scene, emitters: np.ndarray) -> np.ndarray:
    low, high = scene.limits()[:, Z]
    return np.minimum(emitters[:, Z] - low, high - emitters[:, Z]) < Z_MARGIN_UM
