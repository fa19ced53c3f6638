"""Estimates as sections of a setup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ds3d_tf.calibration.noise.noise_estimate import NoiseEstimate
from ds3d_tf.calibration.noise.signal_fit import SignalLaw
from ds3d_tf.setup.camera import Camera
from ds3d_tf.setup.sections import VolumeSection

# A super-Gaussian background's valley and peak are drawn in [v, 1.5 v].
_MEAN_OF_DRAW = 1.25
# Emitters fainter than this share of the mean blur into the noise: they stay in the frames and leave the labels.
UNLABELLED_SHARE = 2 / 3
BRIGHT_PERCENTILE = 99.9


def noise_sections(estimate: NoiseEstimate) -> dict[str, Any]:
    """Return the fields of the sections ``background`` and ``read_noise`` that an estimate says."""
    if estimate.is_light:
        return light_sections(estimate)
    read_noise = {
        "kind": "super_gaussian" if estimate.varies_in_space else "uniform",
        "baseline_range": [_rounded(value) for value in estimate.baseline_range],
        "sigma_range": [_rounded(value) for value in estimate.sigma_range],
    }
    return {"background": {"kind": "uniform", "level": 0.0}, "read_noise": read_noise}


def light_sections(estimate: NoiseEstimate) -> dict[str, Any]:
    """Return the fields of ``background`` and ``read_noise`` where what an estimate saw is light."""
    level, (dark, bright) = max(estimate.baseline, 0.0), np.maximum(estimate.contrast, 0.0)
    background = {"kind": "uniform", "level": _rounded(level)}
    dark, bright = _rounded(dark / _MEAN_OF_DRAW), _rounded(bright / _MEAN_OF_DRAW)
    if bright > 1.3 * dark:
        background = {"kind": "super_gaussian", "valley_peak": [dark, bright]}
    return {"background": background, "read_noise": {"kind": "none"}}


def camera_section(camera: Camera) -> dict[str, Any]:
    """Return the fields of the section ``camera`` of a camera without maps, as far as they are not the default."""
    values = {
        "offset_counts": _rounded(float(camera.offset_counts), 4),
        "counts_per_electron": _rounded(float(camera.counts_per_electron)),
        "read_noise_electrons": _rounded(float(camera.read_noise_electrons)),
    }
    return values if camera.em_gain == 1 else {**values, "em_gain": camera.em_gain}


def signal_section(law: SignalLaw) -> dict[str, Any]:
    """Return the fields of the section ``signal`` that a law says."""
    if law.distribution == "gamma":
        return {
            "distribution": "gamma",
            "gamma_shape": _rounded(law.gamma_shape),
            "gamma_scale": _rounded(law.gamma_scale),
            "label_threshold": _rounded(UNLABELLED_SHARE * law.mean),
        }
    low, high = law.uniform_range
    return {
        "distribution": "uniform",
        "uniform_range": [_rounded(max(low, 1.0)), _rounded(high)],
        "label_threshold": None,
    }


def emitters_section(emitters_a_tile: float, volume: VolumeSection) -> dict[str, Any]:
    """Return the fields of the section ``emitters`` whose mean density is that of a recording.

    Args:
        emitters_a_tile: number of emitters whose light an area as large as a simulated frame holds.
        volume: the setup's; simulated emitters keep its margin.
    """
    inside = math.prod(size - 2 * volume.margin_px for size in (volume.height_px, volume.width_px))
    mean = emitters_a_tile * inside / (volume.height_px * volume.width_px)
    return {"count_range": [1, max(round(2 * mean) + 1, 4)]}


def normalization_section(tiles: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return the fields of the section ``normalization`` that bring counts to about 0 to 1.

    Args:
        tiles: frames or parts of them, each float ``[H, W]``, counts.
    """
    middle, brightest = (float(value) for value in np.percentile(np.stack(tiles), [50, BRIGHT_PERCENTILE]))
    subtract = _rounded(min(middle, 0.0))
    return {"subtract": subtract, "divide": _rounded(max(brightest - subtract, 1.0))}


def as_changes(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return ``{"section.field": value}`` of nested sections."""
    return {f"{section}.{field}": value for section, fields in sections.items() for field, value in fields.items()}


def _rounded(value: float, digits: int = 3) -> float:
    """Return a number with as many digits as an estimate has."""
    return float(f"{value:.{digits}g}") if np.isfinite(value) else 0.0
