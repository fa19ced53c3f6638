"""Large frames in overlapping regions, one after the other, each knowing what the others have found."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ds3d_tf.refinement.fit import Fit, empty_fit, refit
from ds3d_tf.refinement.images import ImageModel
from ds3d_tf.refinement.moves import with_emitters
from ds3d_tf.refinement.noise import MeasuredFrame
from ds3d_tf.refinement.scene import Scene, make_scene

# Frames up to this many pixels a side are explained whole.
MAX_WHOLE_PX = 400
CORE_PX = 240
# Emitters this far outside a core move along with those in it.
MARGIN_PX = 16


@dataclass(frozen=True)
class Region:
    """A part of a frame; all in pixels, first and last (exclusive).

    Attributes:
        rows: rows that are looked at.
        columns: columns that are looked at.
        core_rows: rows whose emitters are this region's.
        core_columns: columns whose emitters are this region's.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    core_rows: tuple[int, int]
    core_columns: tuple[int, int]


@dataclass(frozen=True, eq=False)
class RegionFit:
    """The last fit of a region.

    Attributes:
        scene: the region's part of the frame.
        fit: its explanation.
        own: int64 ``[N]``, indices of the emitters that lie in the region's core.
    """

    scene: Scene
    fit: Fit
    own: np.ndarray


def regions(shape: tuple[int, int], reach_px: int) -> list[Region]:
    """Return the regions of a frame: their cores tile it.

    Args:
        shape: (H, W) of the frame, pixels.
        reach_px: how far an emitter's image reaches, pixels.
    """
    down, across = (_spans(size, MARGIN_PX + reach_px) for size in shape)
    return [
        Region(rows, columns, core_rows, core_columns) for rows, core_rows in down for columns, core_columns in across
    ]


def _spans(size: int, halo_px: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return what is looked at and its core along one axis; all are equally long, so that tables can be shared."""
    count = max(1, -(-size // CORE_PX))
    edges = [round(size * k / count) for k in range(count + 1)]
    length = min(size, max(b - a for a, b in itertools.pairwise(edges)) + 2 * halo_px)
    spans = []
    for begin, end in itertools.pairwise(edges):
        first = min(max((begin + end - length) // 2, 0), size - length)
        spans.append(((first, first + length), (begin, end)))
    return spans


def explain_in_regions(
    frame: MeasuredFrame,
    model: ImageModel,
    centre_px: tuple[int, int],
    blur_range_px: tuple[float, float],
    start: np.ndarray,
    explain_region: Callable[[Scene, np.ndarray], Fit],
) -> list[RegionFit]:
    """Return the fits of a large frame's regions.

    Every region is explained with the light of all emitters beyond it held; what it finds in its core and a margin
    replaces what was known there. Then all are fitted once more, every emitter with its neighbours on all sides.

    Args:
        frame: the whole frame.
        model: images of the emitters.
        centre_px: (row, column) of the pixel whose centre is x = y = 0.
        blur_range_px: smallest and largest blur, camera pixels.
        start: float64 ``[E, 5]`` (x, y, z in µm, photons, blur in pixels), proposed emitters.
        explain_region: what :func:`ds3d_tf.refinement.explain.explain` does to a scene with its proposals.
    """
    parts = regions((frame.data.shape[0], frame.data.shape[1]), model.core.half_px)
    # Proposals have no photons yet: beyond a region they are dark until their own region has fitted them.
    emitters, bright = start.copy(), np.zeros(len(start), bool)
    for part in parts:
        inside = _inside(emitters, part, model, centre_px, MARGIN_PX)
        scene = _scene(frame, model, centre_px, blur_range_px, part, emitters[~inside & bright])
        found = explain_region(scene, emitters[inside]).emitters
        found = found[_inside(found, part, model, centre_px, MARGIN_PX)]
        emitters = np.concatenate([emitters[~inside], found])
        bright = np.concatenate([bright[~inside], np.ones(len(found), bool)])
    result = []
    own = [np.flatnonzero(_inside(emitters, part, model, centre_px, 0)) for part in parts]
    for place, part in enumerate(parts):
        near = np.flatnonzero(_inside(emitters, part, model, centre_px, MARGIN_PX))
        scene = _scene(frame, model, centre_px, blur_range_px, part, np.delete(emitters, near, axis=0))
        fit = with_emitters(scene, empty_fit(scene), emitters[near])
        fit = refit(scene, fit, max_steps=8, tolerance=0.02)
        mine = np.flatnonzero(np.isin(near, own[place]))
        emitters[near[mine]] = fit.emitters[mine]
        result.append(RegionFit(scene, fit, mine))
    return result


def _inside(
    emitters: np.ndarray, part: Region, model: ImageModel, centre_px: tuple[int, int], margin_px: int
) -> np.ndarray:
    """Return which emitters lie in a region's core and a margin; those outside the frame belong to its border."""
    scale = model.core.pixels_per_um
    inside = np.ones(len(emitters), bool)
    for axis, centre, (begin, end), (first, last) in (
        (1, centre_px[0], part.core_rows, part.rows),
        (0, centre_px[1], part.core_columns, part.columns),
    ):
        place = emitters[:, axis] * scale + centre + 0.5
        # A core at the frame's border is one at the border of what is looked at.
        if begin > first:
            inside &= place >= begin - margin_px
        if end < last:
            inside &= place < end + margin_px
    return inside


def _scene(
    frame: MeasuredFrame,
    model: ImageModel,
    centre_px: tuple[int, int],
    blur_range_px: tuple[float, float],
    part: Region,
    beyond: np.ndarray,
) -> Scene:
    inside = slice(*part.rows), slice(*part.columns)
    cut = MeasuredFrame(frame.data[inside], frame.extra_variance[inside], frame.valid[inside])
    middle = centre_px[0] - part.rows[0], centre_px[1] - part.columns[0]
    scene = make_scene(cut, model, middle, blur_range_px)
    return make_scene(cut, model, middle, blur_range_px, outside=scene.light(model.wide, beyond))
