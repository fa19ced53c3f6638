"""Refinement of a recording: a joint maximum-likelihood fit of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.machine import cores
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.refinement.explain import explain
from ds3d_tf.refinement.fit import Fit, empty_fit
from ds3d_tf.refinement.images import ImageModel, image_model
from ds3d_tf.refinement.moves import Rules, covariance, window_chi2
from ds3d_tf.refinement.noise import CameraNoise
from ds3d_tf.refinement.options import DEFAULT_OPTIONS, RefineOptions, distinct_places, min_gain
from ds3d_tf.refinement.refined import RefinedLocalizations
from ds3d_tf.refinement.regions import MAX_WHOLE_PX, RegionFit, explain_in_regions
from ds3d_tf.refinement.scene import BLUR, PHOTONS, Scene, make_scene
from ds3d_tf.refinement.search import templates
from ds3d_tf.refinement.threads import one_thread_each
from ds3d_tf.setup import Setup

# A peak of the residual is tried from this share of the signal-to-noise ratio that an emitter must have at last.
_TRIED_SHARE = 0.82
# Emitters of the start this near to a refined one are what it comes from.
_SAME_UM = 0.4
_MAX_ROUNDS = 8


def refine(
    frames: Any,
    start: Localizations | None,
    setup: Setup,
    mask: np.ndarray | None = None,
    *,
    noise: CameraNoise | None = None,
    options: RefineOptions = DEFAULT_OPTIONS,
) -> RefinedLocalizations:
    """Return the emitters of frames by joint maximum likelihood: moved, added and removed until noise is left.

    Args:
        frames: float ``[F, H, W]``, raw counts; NaN pixels are left out.
        start: proposed emitters of these frames, the first of which has number 1; None: search from nothing.
        setup: optics, depth range, blur and noise.
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x); None: the setup's.
        noise: how counts become photoelectrons, and their noise; None: as the setup simulates.
        options: rate of false alarms, from which the least log-likelihood of an emitter follows; effort.

    Raises InputError if the shapes or numbers do not fit one another.
    """
    frames = np.asarray(frames)
    if frames.ndim != 3 or not all(frames.shape[1:]):
        raise InputError(f"{argument('frames')}: expected an array [frame, row, column], got shape {frames.shape}")
    shape = (frames.shape[1], frames.shape[2])
    noise = CameraNoise.from_setup(setup, shape) if noise is None else noise
    noise.check_shape(shape)
    proposals = _proposals(start, len(frames), shape)
    model = image_model(setup.optics, setup.volume, load_mask(setup) if mask is None else mask)
    gain = min_gain(options.false_alarms_per_frame, distinct_places(model, shape, setup.blur.sigma_range_px))

    def refined(index: int) -> dict[str, np.ndarray]:
        return _refine_frame(index, frames[index], proposals[index], setup, model, noise, gain, options.max_tries)

    # Frames do not know of one another: they come in order whatever thread they are refined in.
    with one_thread_each(), ThreadPoolExecutor(min(cores(), max(len(frames), 1))) as pool:
        parts = list(pool.map(refined, range(len(frames))))
    if not parts:
        parts = [_nothing()]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return RefinedLocalizations(frame_shape=shape, setup=setup, **columns)


def _proposals(start: Localizations | None, count: int, shape: tuple[int, int]) -> Sequence[np.ndarray]:
    """Return float64 ``[E, 4]`` (x, y, z in µm, confidence) of each frame."""
    if start is None:
        return [np.zeros((0, 4))] * count
    if tuple(start.frame_shape) != shape:
        raise InputError(
            f"{argument('start')}: localizations of frames {start.frame_shape}, but the frames are {shape}"
        )
    if len(start) and (start.frame.min() < 1 or start.frame.max() > count):
        raise InputError(
            f"{argument('start')}: frames {start.frame.min()} to {start.frame.max()}, but there are {count} frames"
        )
    rows = np.column_stack([start.xyz_um, start.confidence]).astype(np.float64)
    if not np.isfinite(rows[:, :3]).all():
        raise InputError(f"{argument('start')}: a position is not a finite number")
    return [rows[start.frame == number] for number in range(1, count + 1)]


@dataclass(frozen=True, eq=False)
class ExplainedFrame:
    """A frame as its emitters and background explain it.

    Attributes:
        mean_counts: float64 ``[H, W]``, expected counts.
        windows: rows and columns of each emitter's image.
    """

    mean_counts: np.ndarray
    windows: list[tuple[slice, slice]]


def explained_frame(
    counts: np.ndarray, setup: Setup, mask_rad: np.ndarray, noise: CameraNoise, options: RefineOptions
) -> ExplainedFrame:
    """Return what a frame is expected to be, its emitters found from nothing.

    Args:
        counts: float ``[H, W]``, raw counts.
        setup: optics, depth range and blur.
        mask_rad: float ``[N, N]`` (rows along y, columns along x), phase mask, rad.
        noise: how counts become photoelectrons, and their noise.
        options: rate of false alarms and effort.
    """
    model = image_model(setup.optics, setup.volume, mask_rad)
    shape = (counts.shape[0], counts.shape[1])
    gain = min_gain(options.false_alarms_per_frame, distinct_places(model, shape, setup.blur.sigma_range_px))
    with one_thread_each():
        parts = _explained(counts, np.zeros((0, 4)), setup, model, noise, gain, options.max_tries)
    mean, windows = np.zeros(shape), []
    for part in parts:
        row, column = shape[0] // 2 - part.scene.centre_px[0], shape[1] // 2 - part.scene.centre_px[1]
        height, width = part.scene.shape
        mean[row : row + height, column : column + width] = part.fit.mean
        for rows, columns, _, _ in part.scene.windows(model.core, part.fit.emitters[part.own, :3]):
            windows.append(
                (slice(rows.start + row, rows.stop + row), slice(columns.start + column, columns.stop + column))
            )
    return ExplainedFrame(noise.offset + noise.gain * noise.excess * mean, windows)


def _explained(
    counts: np.ndarray,
    proposed: np.ndarray,
    setup: Setup,
    model: ImageModel,
    noise: CameraNoise,
    gain: float,
    max_tries: int,
) -> list[RegionFit]:
    height, width = counts.shape
    middle, frame, blur_range_px = (height // 2, width // 2), noise.measured(counts), setup.blur.sigma_range_px

    def explained(scene: Scene, start: np.ndarray) -> Fit:
        table = templates(model, scene.shape, scene.blur_px, scene.stiffness)
        rules = Rules(table, gain, _TRIED_SHARE * float(np.sqrt(2 * gain)))
        return explain(scene, np.clip(start, *scene.limits()), empty_fit(scene), rules, _MAX_ROUNDS, max_tries)

    emitters = np.zeros((len(proposed), 5))
    emitters[:, :3], emitters[:, PHOTONS], emitters[:, BLUR] = proposed[:, :3], 1, sum(blur_range_px) / 2
    if max(counts.shape) > MAX_WHOLE_PX:
        return explain_in_regions(frame, model, middle, blur_range_px, emitters, explained)
    scene = make_scene(frame, model, middle, blur_range_px)
    fit = explained(scene, emitters)
    return [RegionFit(scene, fit, np.arange(len(fit.emitters)))]


def _refine_frame(
    index: int,
    counts: np.ndarray,
    proposed: np.ndarray,
    setup: Setup,
    model: ImageModel,
    noise: CameraNoise,
    gain: float,
    max_tries: int,
) -> dict[str, np.ndarray]:
    parts = _explained(counts, proposed, setup, model, noise, gain, max_tries)
    columns = [_columns(part, index, noise.photons_per_unit) for part in parts]
    result = {name: np.concatenate([some[name] for some in columns]) for name in columns[0]}
    result["confidence"] = _confidence(result["xyz_um"], proposed)
    return result


def _columns(part: RegionFit, index: int, photons: float) -> dict[str, np.ndarray]:
    """Return a region's columns of the table; a unit of the fit stands for so many ``photons``."""
    scene, fit, own = part.scene, part.fit, part.own
    if not len(own):
        return _nothing()
    xyz_um = fit.emitters[:, :3]
    sigma = np.sqrt(np.maximum(np.einsum("eii->ei", covariance(scene, fit)), 0))
    pixel = np.rint(xyz_um[:, 1::-1] * scene.model.core.pixels_per_um).astype(int) + scene.centre_px
    row, column = np.clip(pixel, 0, np.array(scene.shape) - 1).T
    columns = {
        "frame": np.full(len(xyz_um), index + 1, np.int64),
        "xyz_um": xyz_um,
        "confidence": np.full(len(xyz_um), np.nan),
        "photons": fit.emitters[:, PHOTONS] * photons,
        "background": scene.spline.surface(fit.background)[row, column].astype(np.float64) * photons,
        "blur_px": fit.emitters[:, BLUR],
        "sigma_xyz_um": sigma[:, :3],
        "sigma_photons": sigma[:, PHOTONS] * photons,
        "log_likelihood_gain": (fit.emitters[:, PHOTONS] / np.maximum(sigma[:, PHOTONS], 1e-15)) ** 2 / 2,
        "reduced_chi2": window_chi2(scene, fit)[0],
    }
    return {name: values[own] for name, values in columns.items()}


def _nothing() -> dict[str, np.ndarray]:
    names = ("confidence", "photons", "background", "blur_px", "sigma_photons", "log_likelihood_gain", "reduced_chi2")
    result = {name: np.zeros(0) for name in names}
    return {"frame": np.zeros(0, np.int64), "xyz_um": np.zeros((0, 3)), "sigma_xyz_um": np.zeros((0, 3)), **result}


def _confidence(xyz_um: np.ndarray, proposed: np.ndarray) -> np.ndarray:
    """Return each emitter's confidence from the nearest proposal, each proposal used once; NaN without one."""
    result = np.full(len(xyz_um), np.nan)
    distance = np.linalg.norm(xyz_um[:, None] - proposed[None, :, :3], axis=2)
    while distance.size and distance.min() < _SAME_UM:
        emitter, proposal = np.unravel_index(int(distance.argmin()), distance.shape)
        result[emitter] = proposed[proposal, 3]
        distance[emitter], distance[:, proposal] = np.inf, np.inf
    return result
