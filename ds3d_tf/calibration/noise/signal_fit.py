"""The law of the photon counts: a gamma or a uniform distribution, whichever explains the found emitters better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr
from scipy.stats import gamma

STRAY_SHARE = 0.03
MEASUREMENT_ERROR = 0.07
SHAPE_LIMITS = (0.5, 50.0)


@dataclass(frozen=True)
class SignalLaw:
    """A distribution of photon counts.

    Attributes:
        distribution: ``gamma`` or ``uniform``.
        gamma_shape: shape, no unit.
        gamma_scale: scale, counts.
        uniform_range: smallest and largest, counts.
        mean: mean of the chosen distribution, counts.
    """

    distribution: str
    gamma_shape: float
    gamma_scale: float
    uniform_range: tuple[float, float]
    mean: float


def fit_signal(photons: np.ndarray, faintest: float) -> SignalLaw:
    """Return the law of the photons of emitters, of which those below ``faintest`` counts were not looked for.

    Args:
        photons: float ``[K]``, counts, all at least ``faintest``.
        faintest: smallest number of counts that was looked for.

    Raises ValueError if ``photons`` holds fewer than 3 values.
    """
    photons = np.asarray(photons, np.float64)
    if photons.size < 3:
        raise ValueError(f"photons: expected at least 3 values, got {photons.size}")
    shape, scale, gamma_likelihood = _gamma(photons, faintest)
    low, high, uniform_likelihood = _uniform(photons)
    if gamma_likelihood >= uniform_likelihood:
        return SignalLaw("gamma", shape, scale, (low, high), shape * scale)
    return SignalLaw("uniform", shape, scale, (low, high), (low + high) / 2)


def _gamma(photons: np.ndarray, faintest: float) -> tuple[float, float, float]:
    """Return shape, scale and log likelihood of a gamma distribution cut off below ``faintest``."""
    mean, variance = photons.mean(), photons.var()

    def loss(logs: np.ndarray) -> float:
        shape, scale = np.exp(logs)
        beyond = gamma.logsf(faintest, shape, scale=scale)
        return -float(np.sum(gamma.logpdf(photons, shape, scale=scale) - beyond))

    start = np.log([np.clip(mean**2 / variance, *SHAPE_LIMITS), variance / mean])
    bounds = [tuple(np.log(SHAPE_LIMITS)), (np.log(mean / 100), np.log(mean * 10))]
    best = minimize(loss, start, bounds=bounds, method="L-BFGS-B")
    shape, scale = np.exp(best.x)
    return float(shape), float(scale), -float(best.fun)


def _uniform(photons: np.ndarray) -> tuple[float, float, float]:
    """Return range and log likelihood of a uniform distribution about the mean, with soft edges and a few strays.

    The edges are soft by the error of a measured photon count; strays are split or merged emitters.
    """
    mean = photons.mean()
    error = MEASUREMENT_ERROR * mean
    stray = STRAY_SHARE / (np.ptp(photons) + error)

    def loss(half: float) -> float:
        inside = ndtr((photons - mean + half) / error) - ndtr((photons - mean - half) / error)
        return -float(np.sum(np.log((1 - STRAY_SHARE) * inside / (2 * half) + stray)))

    best = minimize_scalar(loss, bounds=(0.02 * mean, mean), method="bounded")
    return float(mean - best.x), float(mean + best.x), -float(best.fun)
