"""The picture and the points of a report, small enough for a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds3d_tf.postprocessing.molecules.molecules import Molecules
from ds3d_tf.postprocessing.pictures.colours import depth_map_linear, saturation_level, to_display
from ds3d_tf.postprocessing.pictures.picture import depth_limits, picture_window, render_picture

LARGEST_BYTES = 5_500_000
_LARGEST_SIDE_PX = 1500
_PIXEL_NM = 10.0
_SAMPLE = 20_000
_COARSER = 1.35
# Of so few molecules each is drawn so wide that it is seen in a picture of the whole field.
_FEW, _FIELD_PER_SIGMA = 2000, 700.0


@dataclass(frozen=True)
class View:
    """A projection as PNG, base64, its pixel, nm, and how molecules are drawn in it, in words."""

    png: str
    pixel_nm: float
    drawn: str


def png_base64(image: np.ndarray) -> str:
    """Return an image as PNG in base64.

    Args:
        image: uint8 ``[rows, columns]`` or ``[rows, columns, 3]``, sRGB values.
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def picture_views(molecules: Molecules, pixel_nm: float | None = None) -> dict[str, View]:
    """Return the projections of molecules, "xy" and in three dimensions "xz" and "zy", within ``LARGEST_BYTES``.

    Args:
        molecules: what is shown.
        pixel_nm: pixel, nm; None: 10 nm, or larger for large fields.
    """
    names = ("xy", "xz", "zy") if molecules.has_z else ("xy",)
    sigma_nm = molecules.sigma_nm("report") if molecules.has_uncertainty else None
    if sigma_nm is not None and names != ("xy",) and np.isnan(sigma_nm[:, 2]).any():
        sigma_nm = None
    limits = depth_limits(molecules, None) if molecules.has_z else None
    extent_nm = float(np.ptp(molecules.xyz_nm, axis=0).max())
    pixel = pixel_nm or max(_PIXEL_NM, extent_nm / _LARGEST_SIDE_PX)
    seen_nm = extent_nm / _FIELD_PER_SIGMA if len(molecules) < _FEW else 0.0
    shown_as = "each molecule counts in one pixel"
    if sigma_nm is not None:
        shown_as = "each molecule is a Gaussian of its own uncertainty, σ at least {:.3g} nm"
    elif seen_nm:
        sigma_nm = np.zeros((len(molecules), 3))
        shown_as = "each molecule is drawn with σ = {:.3g} nm, so that it is seen"
    while True:
        least_nm = 0.0 if sigma_nm is None else max(0.3 * pixel, seen_nm)
        views = {}
        for name in names:
            wide = None if sigma_nm is None else np.maximum(sigma_nm, least_nm)
            window = picture_window(molecules, name, pixel, wide)
            picture = render_picture(molecules, window, wide, limits)
            image = picture.colours(saturation_level(picture.counts))
            views[name] = View(png_base64(image[::-1] if name == "xz" else image), pixel, shown_as.format(least_nm))
        if sum(len(view.png) for view in views.values()) <= LARGEST_BYTES:
            return views
        pixel *= _COARSER


def depth_colours(count: int = 64) -> list[str]:
    """Return the colours of depth, from the lowest up, as "red,green,blue"."""
    colours = np.rint(to_display(depth_map_linear()) * 255).astype(int)
    return [",".join(map(str, colours[k])) for k in np.linspace(0, 255, count).astype(int)]


def scatter_sample(molecules: Molecules, seed: int = 0) -> dict[str, Any]:
    """Return at most 20,000 molecules for the page: positions as 16-bit steps of the box around them, in base64."""
    xyz_nm = molecules.xyz_nm
    if len(xyz_nm) > _SAMPLE:
        xyz_nm = xyz_nm[np.sort(np.random.default_rng(seed).choice(len(xyz_nm), _SAMPLE, replace=False))]
    low, high = np.percentile(xyz_nm, [0.2, 99.8], axis=0)
    size = np.maximum(high - low, 1.0)
    steps = np.rint(((xyz_nm - low) / size).clip(0, 1) * 65535).astype("<u2")
    points = base64.b64encode(steps.tobytes()).decode("ascii")
    box = {"low_nm": low.round(1).tolist(), "size_nm": size.round(1).tolist()}
    return {"points": points, **box, "shown": len(xyz_nm)}
