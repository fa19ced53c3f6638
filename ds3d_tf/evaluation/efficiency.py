"""The efficiency of the SMLM challenge, and whether localizations follow the camera's pixel grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Weights of the errors against the Jaccard index in percent, per nm (Sage et al., Nature Methods 2019).
LATERAL_WEIGHT, AXIAL_WEIGHT = 1.0, 0.5
_HARMONICS = 4  # down to a quarter of a pixel, a voxel of the voxel network


@dataclass(frozen=True)
class ChallengeRules:
    """What counts as found in the SMLM challenge (Sage et al., Nature Methods 2019).

    Attributes:
        lateral_tolerance_nm: pairs at this distance or more in x and y do not count.
        axial_tolerance_nm: the same in z.
        border_nm: emitters and localizations this near to the frame's border are left out.
    """

    lateral_tolerance_nm: float = 250.0
    axial_tolerance_nm: float = 500.0
    border_nm: float = 450.0


DEFAULT_RULES = ChallengeRules()


def efficiency(jaccard: float, rmse_nm: float, weight_per_nm: float) -> float:
    """Return 100 - √((100 - J)² + (α·RMSE)²), J in percent: 100 is perfect.

    Args:
        jaccard: Jaccard index, 0 … 1.
        rmse_nm: root mean square error, nm.
        weight_per_nm: α, 1/nm.
    """
    return float(100 - np.hypot(100 - 100 * jaccard, weight_per_nm * rmse_nm))


def challenge_metrics(
    truth_um: Sequence[np.ndarray],
    found_um: Sequence[np.ndarray],
    frame_shape: tuple[int, int],
    pixel_um: float,
    rules: ChallengeRules = DEFAULT_RULES,
) -> dict[str, Any]:
    """Return the metrics of the SMLM challenge as plain numbers; errors and efficiencies are None without a pair.

    Pairs are those of the assignment with the smallest sum of 3D distances, each axis in units of its tolerance.

    Args:
        truth_um: for each frame float ``[N, 3]`` (x, y, z), µm: the emitters that should be found.
        found_um: for each frame float ``[M, 3]`` (x, y, z), µm.
        frame_shape: ``(H, W)``, pixels.
        pixel_um: camera pixel in the sample, µm.
        rules: tolerances and border.
    """
    errors, emitters, localizations = [np.zeros((0, 3))], 0, 0
    for truth, found in zip(truth_um, found_um, strict=True):
        inside = [_inside(np.reshape(one, (-1, 3)), frame_shape, pixel_um, rules.border_nm) for one in (truth, found)]
        own, other = inside
        emitters, localizations = emitters + len(own), localizations + len(other)
        first, second = _pairs(own, other, rules)
        errors.append(1000 * (other[second] - own[first]))
    error = np.concatenate(errors)
    union = emitters + localizations - len(error)
    jaccard = len(error) / union if union else 1.0
    values: dict[str, Any] = {
        "challenge_jaccard": jaccard,
        "challenge_rmse_lateral_nm": None,
        "challenge_rmse_axial_nm": None,
        "efficiency_lateral": None,
        "efficiency_axial": None,
        "efficiency_3d": None,
    }
    if len(error):
        lateral = float(np.sqrt(np.mean(np.sum(error[:, :2] ** 2, axis=1))))
        axial = float(np.sqrt(np.mean(error[:, 2] ** 2)))
        parts = efficiency(jaccard, lateral, LATERAL_WEIGHT), efficiency(jaccard, axial, AXIAL_WEIGHT)
        values |= {"challenge_rmse_lateral_nm": lateral, "challenge_rmse_axial_nm": axial}
        values |= {"efficiency_lateral": parts[0], "efficiency_axial": parts[1], "efficiency_3d": sum(parts) / 2}
    return values


def grid_index(xyz_um: np.ndarray, pixel_um: float) -> float | None:
    """Return how much localizations prefer some places of a pixel: 0 for none, 1 if all lie at the same place.

    It is the largest Fourier amplitude of the positions at one to four periods a pixel, |⟨exp(2πi k x / pixel)⟩|, less
    what chance gives, along x or y: at these frequencies a picture correlates with itself because of the grid alone.

    Args:
        xyz_um: float ``[N, 3]`` (x, y, z), µm; localizations of all frames.
        pixel_um: camera pixel in the sample, µm.

    Returns None without localizations.
    """
    if not len(xyz_um):
        return None
    phase = 2j * np.pi * np.asarray(xyz_um, np.float64)[:, :2] / pixel_um
    power = max(float((np.abs(np.exp(k * phase).mean(axis=0)) ** 2).max()) for k in range(1, _HARMONICS + 1))
    return float(np.sqrt(max(power - 1 / len(xyz_um), 0.0)))


def _inside(xyz_um: np.ndarray, frame_shape: tuple[int, int], pixel_um: float, border_nm: float) -> np.ndarray:
    """Return the positions that are not at the frame's border."""
    height, width = frame_shape
    border_px = border_nm / 1000 / pixel_um
    column, row = (xyz_um[:, axis] / pixel_um + size // 2 + 0.5 for axis, size in ((0, width), (1, height)))
    inside = (column >= border_px) & (column <= width - border_px) & (row >= border_px) & (row <= height - border_px)
    return xyz_um[inside]


def _pairs(truth_um: np.ndarray, found_um: np.ndarray, rules: ChallengeRules) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import linear_sum_assignment

    difference = 1000 * np.abs(truth_um[:, None] - found_um[None])
    lateral = np.hypot(difference[..., 0], difference[..., 1]) / rules.lateral_tolerance_nm
    axial = difference[..., 2] / rules.axial_tolerance_nm
    allowed = (lateral < 1) & (axial < 1)
    # A pair that does not count costs more than two that do.
    first, second = linear_sum_assignment(np.where(allowed, np.hypot(lateral, axial), 4.0))
    counts = allowed[first, second]
    return first[counts], second[counts]
