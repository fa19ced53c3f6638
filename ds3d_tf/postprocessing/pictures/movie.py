"""Molecules that turn: a GIF."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ds3d_tf.common.files import whole_file
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.postprocessing.molecules.molecules import Molecules
from ds3d_tf.postprocessing.pictures.colours import coloured, depth_weights, saturation_level
from ds3d_tf.postprocessing.pictures.gaussians import add_gaussians
from ds3d_tf.postprocessing.pictures.png import annotated
from ds3d_tf.postprocessing.pictures.window import AXES, window_around

STEPS = 48
LARGEST_PX = 480
MOST_MOLECULES = 300_000
_MILLISECONDS = 80


def write_movie(
    path: str | Path,
    molecules: Molecules,
    sigma_nm: np.ndarray | None,
    z_limits_nm: tuple[float, float],
    gamma: float,
    progress: Progress = no_progress,
) -> int:
    """Write a GIF of the molecules turning once about the vertical axis; returns how many of them it shows.

    Depth keeps its colour. The pixel is chosen so that the movie is small; of many molecules a sample is drawn.

    Args:
        path: file to write.
        molecules: what is shown.
        sigma_nm: float ``[N, 3]``, standard deviations, nm; None: as sharp as the movie's pixels.
        z_limits_nm: depths of the first and the last colour, nm.
        gamma: exponent of the brightness.
        progress: told how many frames are done.

    Raises InputError if the file cannot be written.
    """
    step = -(-len(molecules) // MOST_MOLECULES)
    chosen = np.arange(0, len(molecules), step)
    xyz_nm = molecules.xyz_nm[chosen]
    centre = (xyz_nm.min(axis=0) + xyz_nm.max(axis=0)) / 2
    offset = xyz_nm - centre
    radius = np.array([np.hypot(offset[:, 0], offset[:, 2]).max(), np.abs(offset[:, 1]).max()])
    pixel_nm = float(2 * radius.max() / LARGEST_PX) or 1.0
    corners = np.stack([[-radius[0], -radius[1], 0], [radius[0], radius[1], 0]])
    window = window_around(corners, AXES["xy"], pixel_nm, margin_nm=2 * pixel_nm)
    weights = depth_weights(xyz_nm[:, 2], z_limits_nm)
    sharp_px = np.full((len(chosen), 2), 0.6)
    level = None
    sheets = []
    for index in range(STEPS):
        turn = 2 * np.pi * index / STEPS
        turned = np.stack(
            [offset[:, 0] * np.cos(turn) + offset[:, 2] * np.sin(turn), offset[:, 1], 0 * offset[:, 2]], axis=1
        )
        sigma_px = sharp_px
        if sigma_nm is not None:
            part = np.nan_to_num(sigma_nm[chosen], nan=0.0)
            across = np.hypot(part[:, 0] * np.cos(turn), part[:, 2] * np.sin(turn))
            sigma_px = np.maximum(np.stack([across, part[:, 1]], axis=1) / pixel_nm, 0.6)
        planes = np.zeros((4, *window.shape), np.float32)
        add_gaussians(planes, window.to_pixels(turned), sigma_px, weights)
        level = saturation_level(planes[0]) if level is None else level
        sheets.append(annotated(coloured(planes, level, gamma), pixel_nm, z_limits_nm))
        progress("turning", index + 1, STEPS)
    with whole_file(path) as temporary:
        frames = [sheet.quantize(192) for sheet in sheets]
        frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=_MILLISECONDS, loop=0)
    return len(chosen)


def without_z(molecules: Molecules) -> Molecules:
    """Return the molecules without their depth."""
    return replace(molecules, table=molecules.table.drop(columns=["z [nm]"], errors="ignore"))
