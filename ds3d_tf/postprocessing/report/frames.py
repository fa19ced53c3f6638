"""Frames with their molecules, and what the molecules do not explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.postprocessing.molecules.columns import X, Y
from ds3d_tf.postprocessing.molecules.molecules import Molecules
from ds3d_tf.postprocessing.report.views import png_base64

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.source import FrameSource
    from ds3d_tf.setup import Setup

SHOWN = 3
_LARGEST_PX = 400


@dataclass(frozen=True)
class FramePanel:
    """A frame for the page.

    Attributes:
        title: number of the frame and of its molecules.
        frame_png: the frame, base64.
        residual_png: frame less rebuilt frame, base64; empty if it is not known.
        size_px: (columns, rows) of the images, pixels.
        pixel_nm: their pixel, nm.
        circles_px: (column, row) of each molecule, pixels.
        explained: share of the frame's variance that its molecules explain; None if not known.
    """

    title: str
    frame_png: str
    residual_png: str
    size_px: tuple[int, int]
    pixel_nm: float
    circles_px: tuple[tuple[float, float], ...]
    explained: float | None


def frame_panels(
    source: FrameSource,
    molecules: Molecules,
    pixel_nm: float,
    setup: Setup | None = None,
    mask_rad: np.ndarray | None = None,
) -> list[FramePanel]:
    """Return panels of a few frames from the recording's beginning to its end.

    Args:
        source: the recording.
        molecules: molecules of its frames, not corrected for drift.
        pixel_nm: camera pixel, nm.
        setup: the model's, to rebuild frames; None: without residuals.
        mask_rad: float64 ``[N, N]`` (rows along y), phase mask, rad; None: without residuals.
    """
    filled = np.unique(molecules.frame)
    filled = filled[filled <= len(source)]
    if not len(filled):
        return []
    places = np.linspace(0, len(filled) - 1, min(SHOWN, len(filled))).astype(int)
    return [
        _panel(source.read(int(number) - 1), int(number), molecules, pixel_nm, setup, mask_rad)
        for number in filled[places]
    ]


def _panel(
    frame: np.ndarray,
    number: int,
    molecules: Molecules,
    pixel_nm: float,
    setup: Setup | None,
    mask_rad: np.ndarray | None,
) -> FramePanel:
    here = molecules.where(molecules.frame == number)
    title = f"frame {number}: {len(here)} molecule{'s' * (len(here) != 1)}"
    residual_png, explained = "", None
    # A large frame is cut around its middle.
    height, width = frame.shape
    rows, columns = min(height, _LARGEST_PX), min(width, _LARGEST_PX)
    top, left = (height - rows) // 2, (width - columns) // 2
    cut = (slice(top, top + rows), slice(left, left + columns))
    if setup is not None and mask_rad is not None:
        from ds3d_tf.localization.regenerate import regenerate

        origin = np.array([(width // 2 + 0.5) * pixel_nm, (height // 2 + 0.5) * pixel_nm, 0]) / 1000
        xyz_um = here.xyz_nm / 1000 - origin + (0, 0, setup.volume.z_min_um)
        again = regenerate(frame, xyz_um, setup, mask_rad)
        explained = again.explained
        residual_png = png_base64(_shades(frame.astype(np.float64) - again.image, frame)[cut])
    at = np.column_stack([here.table[X] / pixel_nm - left, here.table[Y] / pixel_nm - top])
    circles = tuple((float(x), float(y)) for x, y in at if 0 <= x < columns and 0 <= y < rows)
    shades = _shades(frame, frame)[cut]
    return FramePanel(title, png_base64(shades), residual_png, (columns, rows), pixel_nm, circles, explained)


def _shades(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return uint8 [H, W]: grey between the limits of another image, the same distance apart around this one's."""
    low, high = np.percentile(like, [0.5, 99.8])
    shift = 0.0 if image is like else float(np.median(like) - np.median(image))
    return np.rint(((image + shift - low) / max(high - low, 1e-9)).clip(0, 1) * 255).astype(np.uint8)
