"""Photon transfer: gain and read noise of a camera from the variance of its pixels against their mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.setup.camera import EM_EXCESS

FEWEST_POINTS = 12
_ROUNDS = 30
# Points further off than this many robust standard deviations count less (Huber, Ann. Math. Stat. 35, 73, 1964).
_HUBER = 1.345
# A slope known no better than this says little.
_LARGEST_ERROR = 0.2
_FEWEST_DEVIATIONS = 5.0
_DARKEST_PERCENTILE = 2.0


@dataclass(frozen=True, eq=False)
class PhotonTransfer:
    """The line variance = slope · mean + intercept of a camera's counts.

    With offset o, counts of a photoelectron g, excess e (1, or 2 behind an EM register) and read noise σ, the slope is
    e·g and the intercept g²σ² - e·g·o: an unknown offset and an unknown read noise cannot be told apart, and need not
    be, for their effect on the noise is the same.

    Attributes:
        slope: counts.
        slope_error: its standard deviation, counts.
        intercept: counts squared.
        intercept_error: its standard deviation, counts squared.
        mean: float64 ``[K]``, counts, of each point.
        variance: float64 ``[K]``, counts squared, of each point.
        weights: float64 ``[K]``, independent pixels of each point, no unit.
        scatter: spread of the points about the line over what their numbers of pixels let expect, no unit.
    """

    slope: float
    slope_error: float
    intercept: float
    intercept_error: float
    mean: np.ndarray
    variance: np.ndarray
    weights: np.ndarray
    scatter: float

    @property
    def is_light(self) -> bool:
        """Whether the variance rises with the mean beyond doubt, and the slope is known to a fifth or better."""
        error = max(self.slope_error, 1e-12)
        return self.slope > max(_FEWEST_DEVIATIONS, 1 / _LARGEST_ERROR) * error

    def counts_per_photoelectron(self, em_gain: float = 1.0) -> float:
        """Return the counts of a photoelectron of a camera with this EM gain (no unit)."""
        return self.slope / (EM_EXCESS if em_gain > 1 else 1.0)

    def offset_and_read_noise(self, offset_counts: float | None = None, em_gain: float = 1.0) -> tuple[float, float]:
        """Return the offset, counts, and the read noise, photoelectrons, that go with the line.

        Args:
            offset_counts: the offset if it is known, counts. Else it is 0, or what a camera without read noise must
                have where 0 would ask for a negative variance; below 0 where the darkest places are, for light is
                never negative.
            em_gain: of the camera, no unit.
        """
        if offset_counts is None:
            darkest = float(np.percentile(self.mean, _DARKEST_PERCENTILE))
            offset_counts = max(-self.intercept / self.slope, min(darkest, 0.0))
        variance = max(self.intercept + self.slope * offset_counts, 0.0)
        return float(offset_counts), float(np.sqrt(variance) / self.counts_per_photoelectron(em_gain))


def photon_transfer(mean: ArrayLike, variance: ArrayLike, weights: ArrayLike | None = None) -> PhotonTransfer:
    """Return the line of variances against means, by a robust fit.

    A variance of n pixels has itself a variance of about 2 v²/n; points are weighted by that, v taken from the line,
    and outliers count less. The stated errors follow the scatter of the points, and are no smaller than the number of
    pixels allows.

    Args:
        mean: float ``[K]``, counts, such as of small parts of frames or of pixels of like brightness.
        variance: float ``[K]``, counts squared, of the same.
        weights: float ``[K]``, independent pixels of each, no unit; None: equal numbers.

    Raises InputError if fewer than 12 points are finite, or all means are equal.
    """
    x, y = np.asarray(mean, np.float64).ravel(), np.asarray(variance, np.float64).ravel()
    number = np.full(len(x), 100.0) if weights is None else np.asarray(weights, np.float64).ravel()
    if not len(x) == len(y) == len(number):
        raise InputError(
            f"{argument('variance')}: expected as many values as means ({len(x)}), got {len(y)} and "
            f"{len(number)} weights"
        )
    good = np.isfinite(x) & np.isfinite(y) & np.isfinite(number) & (number > 0) & (y >= 0)
    x, y, number = x[good], y[good], number[good]
    if len(x) < FEWEST_POINTS:
        raise InputError(f"{argument('mean')}: expected {FEWEST_POINTS} points or more, got {len(x)}")
    if not np.ptp(x) > 1e-9 * np.abs(x).max():
        raise InputError(f"{argument('mean')}: all means are equal ({x[0]:g} counts), so that no slope is seen")
    centre = np.average(x, weights=number)
    design = np.stack([x - centre, np.ones_like(x)], axis=1)
    line = np.array([0.0, np.median(y)])
    floor = max(1e-3 * float(np.median(y)), 1e-12)
    for _ in range(_ROUNDS):
        expected = np.maximum(design @ line, floor)
        sigma = expected * np.sqrt(2 / number)
        pull = (y - design @ line) / sigma
        scatter = max(1.4826 * float(np.median(np.abs(pull))), 1e-6)
        huber = np.minimum(1.0, _HUBER * scatter / np.maximum(np.abs(pull), 1e-12))
        weighted = design * (huber / sigma**2)[:, None]
        before, line = line, np.linalg.solve(weighted.T @ design, weighted.T @ y)
        if np.allclose(before, line, rtol=1e-9, atol=0):
            break
    # The sandwich of M-estimators, in which the points' own scatter stands for their variance.
    bread = np.linalg.inv(weighted.T @ design)
    misfit = (huber * (y - design @ line) / sigma**2)[:, None] * design
    covariance = bread @ (misfit.T @ misfit) @ bread
    least = np.linalg.inv((design / sigma[:, None] ** 2).T @ design)
    errors = np.sqrt(np.maximum(np.diag(covariance), np.diag(least)))
    slope, level = line
    return PhotonTransfer(
        slope=float(slope),
        slope_error=float(errors[0]),
        intercept=float(level - slope * centre),
        intercept_error=float(np.hypot(errors[1], errors[0] * centre)),
        mean=x,
        variance=y,
        weights=number,
        scatter=scatter,
    )
