"""Metrics of refined localizations: errors beside what the frames allow, and beside what was stated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ds3d_tf.evaluation.bounds import bound_ratio, joint_bound, pulls
from ds3d_tf.evaluation.comparison import Comparison
from ds3d_tf.evaluation.truth import FrameTruth
from ds3d_tf.optics.crlb_curve import typical_conditions
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.setup import Setup


def bounds_nm(truths: Sequence[FrameTruth], frame_shape: tuple[int, int], setup: Setup, mask_rad: np.ndarray) -> Any:
    """Return the joint Cramér–Rao bound of the emitters of frames that should be found.

    The background, the read noise and the blur are the setup's means.

    Args:
        truths: the emitters of each frame.
        frame_shape: ``(H, W)``, pixels.
        setup: optics, depth range and noise.
        mask_rad: float64 ``[N, N]`` (rows along y), phase mask, rad.

    Returns:
        float64 ``[T, 3]`` (x, y, z), smallest standard deviations of the emitters of all frames in order, nm.
    """
    volume = setup.volume.model_copy(update={"height_px": frame_shape[0], "width_px": frame_shape[1]})
    renderer = exact_renderer(setup.optics, volume, mask_rad)
    conditions = typical_conditions(setup)
    bounds = [np.zeros((0, 3))]
    for truth in truths:
        bound = joint_bound(
            renderer,
            truth.xyz_um,
            truth.photons,
            background=conditions.background,
            read_noise=conditions.read_noise,
            blur_sigma_px=conditions.blur_sigma_px,
        )
        bounds.append(np.stack([bound.x_nm, bound.y_nm, bound.z_nm], axis=1)[truth.labelled])
    return np.concatenate(bounds)


def network_pulls(comparison: Comparison, photons: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """Return the spread of a pixel network's errors over its stated uncertainties; nothing without a pair.

    Args:
        comparison: emitters and localizations of all frames, matched.
        photons: float64 ``[T]``, photons (detected: photoelectrons) of ``comparison.truth_um``.
        rows: float ``[M, 10]``, the localizations of ``comparison.found_um`` as ``Localizer.rows`` gives them: µm,
            confidence, photons, background, σ of x, y and z in µm, σ of the photons.
    """
    if not len(comparison.pairs):
        return {}
    first, second = comparison.pairs.T
    spread = pulls(comparison.error_nm, 1000 * rows[second, 6:9]).standard_deviation
    values = {f"pull_sigma_{axis}": float(value) for axis, value in zip("xyz", spread, strict=True)}
    pull = (rows[second, 4] - photons[first]) / rows[second, 9]
    return {**values, "pull_sigma_photons": float(np.sqrt(np.mean(pull**2)))}


def refined_metrics(comparison: Comparison, bound_nm: np.ndarray, sigma_um: np.ndarray) -> dict[str, Any]:
    """Return errors over bounds and over stated uncertainties as plain numbers, for JSON; nothing without a pair.

    Args:
        comparison: emitters and localizations of all frames, matched.
        bound_nm: float64 ``[T, 3]`` (x, y, z), bounds of ``comparison.truth_um``, nm.
        sigma_um: float64 ``[M, 3]`` (x, y, z), stated standard deviations of ``comparison.found_um``, µm.
    """
    if not len(comparison.pairs):
        return {}
    error_nm = comparison.error_nm
    bound = bound_nm[comparison.pairs[:, 0]]
    ratio = bound_ratio(error_nm, bound)
    spread = pulls(error_nm, sigma_um[comparison.pairs[:, 1]] * 1000)
    return {
        "bound_lateral_nm": float(np.sqrt(np.mean(np.sum(bound[:, :2] ** 2, axis=1)))),
        "bound_axial_nm": float(np.sqrt(np.mean(bound[:, 2] ** 2))),
        "rmse_over_bound_lateral": ratio.lateral,
        "rmse_over_bound_axial": ratio.axial,
        "median_over_bound_lateral": ratio.median_lateral,
        "median_over_bound_axial": ratio.median_axial,
        **{f"pull_sigma_{axis}": float(value) for axis, value in zip("xyz", spread.standard_deviation, strict=True)},
        **{f"pulls_within_1_{axis}": float(value) for axis, value in zip("xyz", spread.within_one, strict=True)},
        **{f"pulls_within_2_{axis}": float(value) for axis, value in zip("xyz", spread.within_two, strict=True)},
    }
