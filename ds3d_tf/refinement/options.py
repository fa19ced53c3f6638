"""What a refinement may be told, and the threshold that follows from the rate of false alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.refinement.images import ImageModel
from ds3d_tf.refinement.scene import fits_blur

_STEP_UM = 0.005
_Z_STEP_UM = 0.02
_STEP_PX = 0.02


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


def min_gain(false_alarms: float, places: tuple[float, float]) -> float:
    """Return the log-likelihood that an emitter must gain, no unit.

    The expected number of peaks above u of a smooth Gaussian field is ``V₃ ρ₃(u) + V₄ ρ₄(u)`` with
    ``ρ₃ = (u² - 1) exp(-u² / 2) / (2π)²`` and ``ρ₄ = (u³ - 3u) exp(-u² / 2) / (2π)^(5/2)`` (Adler and Taylor, Random
    Fields and Geometry, 2007); u² / 2 is the gain.

    Args:
        false_alarms: expected number of peaks, no unit.
        places: volumes V₃ (x, y, z) and V₄ (with the blur) of the field by its own metric (:func:`distinct_places`),
            no unit.
    """

    def excess(gain: float) -> float:
        u = math.sqrt(2 * gain)
        density = places[0] * (u**2 - 1) / (2 * math.pi) ** 2 + places[1] * (u**3 - 3 * u) / (2 * math.pi) ** 2.5
        return math.log(density) - gain - math.log(false_alarms)

    return float(brentq(excess, 2.0, 200.0)) if excess(2.0) > 0 else 2.0


@lru_cache(maxsize=16)
def distinct_places(
    model: ImageModel, shape: tuple[int, int], blur_range_px: tuple[float, float]
) -> tuple[float, float]:
    """Return the volume of a frame and its depths, and of these and the blurs; no unit.

    They are measured by how fast the image of one photon changes.

    Args:
        model: images of the emitters.
        shape: (H, W) of the frame, pixels.
        blur_range_px: least and largest standard deviation of the blur, pixels; a narrow range is not fitted and has no
            volume.
    """
    low, high = model.core.z_range_um
    z_um = np.linspace(low, high, max(3, round((high - low) / _Z_STEP_UM)))[1:-1]
    blur_px = sum(blur_range_px) / 2

    def unit(*change: float) -> np.ndarray:
        xyz_um = np.stack([0 * z_um, 0 * z_um, z_um], axis=1) + change[:3]
        images = model.core.images(xyz_um, np.full(len(z_um), blur_px + change[3]))
        flat = images.reshape(len(z_um), -1).astype(np.float64)
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))

    steps = [_STEP_UM, _STEP_UM, _STEP_UM, _STEP_PX]
    slopes = [(unit(*step) - unit(*-step)) / (2 * step.sum()) for step in np.diag(steps)]
    metric = np.stack([[np.sum(a * b, axis=1) for a in slopes] for b in slopes]).transpose(2, 0, 1)
    per_place, per_place_and_blur = (
        float(np.sqrt(np.maximum(np.linalg.det(metric[:, :size, :size]), 0)).mean()) for size in (3, 4)
    )
    space_um3 = (high - low) * shape[0] * shape[1] / model.core.pixels_per_um**2
    blurs_px = blur_range_px[1] - blur_range_px[0] if fits_blur(blur_range_px) else 0.0
    return per_place * space_um3, per_place_and_blur * space_um3 * blurs_px
