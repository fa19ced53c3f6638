"""Normal equations of a scene's emitters and background: Fisher information and score, from tiles of the frame."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import ssyrk

from ds3d_tf.refinement.scene import BLUR, PHOTONS, Scene

_TILE_PX = 40


@dataclass(frozen=True, eq=False)
class System:
    """Normal equations of some emitters and the background, scaled to a unit diagonal.

    Attributes:
        information: float64 ``[P, P]``, Fisher information with the priors', scaled, no unit.
        score: float64 ``[P]``, derivative of the value, scaled, no unit.
        scale: float64 ``[P]``, unit of each scaled parameter in the parameter's own unit.
    """

    information: np.ndarray
    score: np.ndarray
    scale: np.ndarray


def normal_equations(
    scene: Scene, emitters: np.ndarray, background: np.ndarray, derivatives: np.ndarray, mean: np.ndarray
) -> System:
    """Return score and expected information of emitters (x, y, z, photons, blur if fitted) and background.

    Args:
        scene: the frame.
        emitters: float64 ``[E, 5]`` (x, y, z in µm, photons, blur in pixels).
        background: float64 ``[P Q]``, coefficients of the B-splines, photoelectrons a pixel.
        derivatives: float32 ``[E, 5, W, W]`` of the emitters' images on their core windows, as
            :meth:`ds3d_tf.refinement.images.LocalImages.derivatives` returns them (per photon).
        mean: float32 ``[H, W]``, expected photoelectrons a pixel.
    """
    per = 5 if scene.fit_blur else 4
    count = len(emitters)
    weights = scene.frame.valid / scene.frame.variance(mean)
    residual = (scene.frame.data - mean) * weights
    spline_count = background.size
    size = count * per + spline_count
    information = np.zeros((size, size))
    score = np.empty(size)
    if count:
        own, cross, pull = _emitter_products(scene, emitters, derivatives, weights, residual, per)
        information[: count * per, : count * per] = own
        information[: count * per, count * per :] = cross
        information[count * per :, : count * per] = cross.T
        score[: count * per] = pull
    bends = scene.spline.roughness / scene.bending**2
    information[count * per :, count * per :] = scene.spline.gram(weights) + bends
    score[count * per :] = scene.spline.projected(residual[None])[0] - bends @ background
    if scene.bend_pull is not None:
        score[count * per :] -= scene.bend_pull / scene.bending**2
    if scene.fit_blur:
        blur = np.arange(count) * per + BLUR
        information[blur, blur] += scene.blur_sigma_px**-2
        score[blur] -= (emitters[:, BLUR] - scene.blur_px) / scene.blur_sigma_px**2
    diagonal = np.diag(information)
    scale = 1 / np.sqrt(np.maximum(diagonal, 1e-12 * max(float(diagonal.max(initial=0)), 1.0)))
    information *= scale[:, None] * scale
    return System(information, score * scale, scale)


def _emitter_products(
    scene: Scene,
    emitters: np.ndarray,
    derivatives: np.ndarray,
    weights: np.ndarray,
    residual: np.ndarray,
    per: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the emitters' information, their products with the background's B-splines, and their score.

    Tile by tile, with the emitters alone that reach a tile: far emitters share no pixel.
    """
    count, spline = len(emitters), scene.spline
    order = [1, 2, 3, 0, 4][:per]
    images = derivatives[:, order]
    photons = emitters[:, PHOTONS].astype(np.float32)
    images *= np.where(np.array(order) == 0, np.float32(1), photons[:, None])[:, :, None, None].astype(np.float32)
    windows = scene.windows(scene.model.core, emitters[:, :3])
    edges = np.array([[r.start, r.stop, c.start, c.stop, i.start, j.start] for r, c, i, j in windows])
    own = np.zeros((count * per, count * per), np.float32)
    cross = np.zeros((count * per, *spline.shape), np.float32)
    pull = np.zeros(count * per)
    root = np.sqrt(weights)
    parameters = np.arange(per)
    for top, bottom in _tile_spans(scene.shape[0]):
        for left, right in _tile_spans(scene.shape[1]):
            near = np.flatnonzero(
                (edges[:, 0] < bottom) & (edges[:, 1] > top) & (edges[:, 2] < right) & (edges[:, 3] > left)
            )
            if not len(near):
                continue
            part = np.zeros((len(near), per, bottom - top, right - left), np.float32)
            for place, (index, edge) in enumerate(zip(near.tolist(), edges[near].tolist(), strict=True)):
                up, down, west, east = max(edge[0], top), min(edge[1], bottom), max(edge[2], left), min(edge[3], right)
                row, column = edge[4] - edge[0], edge[5] - edge[2]
                part[place, :, up - top : down - top, west - left : east - left] = images[
                    index, :, up + row : down + row, west + column : east + column
                ]
            chosen = (near[:, None] * per + parameters).ravel()
            flat = part.reshape(len(chosen), -1)
            pull[chosen] += flat @ residual[top:bottom, left:right].ravel()
            if cross.size:
                down_splines = np.flatnonzero(spline.rows[:, top:bottom].any(axis=1))
                across_splines = np.flatnonzero(spline.columns[:, left:right].any(axis=1))
                weighted = (flat * weights[top:bottom, left:right].ravel()).reshape(-1, bottom - top, right - left)
                sums = (spline.rows[down_splines, top:bottom] @ weighted) @ spline.columns[across_splines, left:right].T
                cross[np.ix_(chosen, down_splines, across_splines)] += sums
            flat *= root[top:bottom, left:right].ravel()
            # A symmetric product takes half the time of a general one; BLAS sees the rows as columns.
            own[np.ix_(chosen, chosen)] += ssyrk(1.0, flat.T, trans=1)
    own = np.triu(own)
    return own + np.triu(own, 1).T, cross.reshape(count * per, -1), pull


def _tile_spans(size_px: int) -> list[tuple[int, int]]:
    count = max(1, round(size_px / _TILE_PX))
    edges = [round(size_px * k / count) for k in range(count + 1)]
    return list(itertools.pairwise(edges))
