"""What a refinement may be told, and the threshold that follows from the rate of false alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.refinement.images import ImageModel

_STEP_UM = 0.005
_Z_STEP_UM = 0.02


@dataclass(frozen=True)
class RefineOptions:
    """Options of :func:`ds3d_tf.refinement.refine`.

    Attributes:
        false_alarms_per_frame: emitters that noise alone may add to a frame on average, more than 0, less than 1.
            The threshold is a theory's for noise over a known background. Over a flat background the real rate is
            lower, as the fitted background takes part of it; a background too steep for its surface adds to it.
        max_tries: suspect emitters of a frame that are taken away on trial at most.
    """

    false_alarms_per_frame: float = 0.01
    max_tries: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms_per_frame < 1:
            raise InputError(
                f"{argument('false_alarms_per_frame')}: expected a number between 0 and 1, "
                f"got {self.false_alarms_per_frame}"
            )
        if self.max_tries < 0:
            raise InputError(f"{argument('max_tries')}: expected 0 or more, got {self.max_tries}")


DEFAULT_OPTIONS = RefineOptions()


def min_gain(false_alarms: float, places: float) -> float:
    """Return the log-likelihood that an emitter must gain, no unit.

    The expected number of peaks above u of a smooth Gaussian field in three dimensions is
    ``places (u² - 1) exp(-u² / 2) / (2π)²`` (Adler and Taylor, Random Fields and Geometry, 2007); u² / 2 is the gain.

    Args:
        false_alarms: expected number of peaks, no unit.
        places: volume of the field by its own metric (:func:`distinct_places`), no unit.
    """

    def excess(gain: float) -> float:
        return math.log(places * (2 * gain - 1) / (2 * math.pi) ** 2) - gain - math.log(false_alarms)

    return float(brentq(excess, 1.5, 200.0)) if excess(1.5) > 0 else 1.5


@lru_cache(maxsize=16)
def distinct_places(model: ImageModel, shape: tuple[int, int], blur_px: float) -> float:
    """Return the volume of a frame and its depths, measured by how fast the image of one photon changes; no unit.

    Args:
        model: images of the emitters.
        shape: (H, W) of the frame, pixels.
        blur_px: standard deviation of the blur, pixels.
    """
    low, high = model.core.z_range_um
    z_um = np.linspace(low, high, max(3, round((high - low) / _Z_STEP_UM)))[1:-1]

    def unit(shift_um: np.ndarray) -> np.ndarray:
        xyz_um = np.stack([0 * z_um, 0 * z_um, z_um], axis=1) + shift_um
        images = model.core.images(xyz_um, np.full(len(z_um), blur_px)).reshape(len(z_um), -1).astype(np.float64)
        return np.asarray(images / np.linalg.norm(images, axis=1, keepdims=True))

    slopes = [(unit(step) - unit(-step)) / (2 * _STEP_UM) for step in _STEP_UM * np.eye(3)]
    metric = np.stack([[np.sum(a * b, axis=1) for a in slopes] for b in slopes]).transpose(2, 0, 1)
    area_um2 = shape[0] * shape[1] / model.core.pixels_per_um**2
    return float(np.sqrt(np.maximum(np.linalg.det(metric), 0)).mean() * (high - low) * area_um2)
