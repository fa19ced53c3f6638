"""Molecules that turn: a GIF, or an MP4 where ffmpeg is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.postprocessing.molecules.molecules import Molecules
from ds3d_tf.postprocessing.pictures.colours import (
    coloured,
    depth_map_linear,
    depth_weights,
    saturation_level,
    to_display,
)
from ds3d_tf.postprocessing.pictures.gaussians import add_gaussians
from ds3d_tf.postprocessing.pictures.png import annotated
from ds3d_tf.postprocessing.pictures.window import AXES, window_around

if TYPE_CHECKING:
    from PIL import Image

GIF, MP4 = ".gif", ".mp4"
STEPS = 48
LARGEST_PX = 480
MOST_MOLECULES = 300_000
_MILLISECONDS = 80
_TURNS_IN_MP4 = 2  # players do not repeat it by themselves
_LEAST_SIGMA_PX = 0.6
_GIF_HUES, _GIF_GREYS = 30, 16


def check_movie_name(path: Path) -> None:
    """Raise InputError for an MP4 where ffmpeg is not installed."""
    if path.suffix.lower() == MP4 and shutil.which("ffmpeg") is None:
        raise InputError(f"{argument('out')} {path}: an MP4 needs ffmpeg, which is not installed; use .gif instead")


def write_movie(
    path: str | Path,
    molecules: Molecules,
    sigma_nm: np.ndarray | None,
    z_limits_nm: tuple[float, float],
    gamma: float,
    progress: Progress = no_progress,
) -> int:
    """Write a movie of the molecules turning about the vertical axis; returns how many of them it shows.

    Depth keeps its colour. The pixel is chosen so that the movie is small; of many molecules a sample is drawn.

    Args:
        path: .gif or .mp4 file to write.
        molecules: what is shown.
        sigma_nm: float ``[N, 3]``, standard deviations, nm; None: as sharp as the movie's pixels.
        z_limits_nm: depths of the first and the last colour, nm.
        gamma: exponent of the brightness.
        progress: told how many frames are done.

    Raises InputError if the file cannot be written.
    """
    path = Path(path)
    check_movie_name(path)
    step = -(-len(molecules) // MOST_MOLECULES)
    chosen = np.arange(0, len(molecules), step)
    part = None if sigma_nm is None else sigma_nm[chosen]
    sheets = []
    for sheet in _turned(molecules.xyz_nm[chosen], part, z_limits_nm, gamma):
        sheets.append(sheet)
        progress("turning", len(sheets), STEPS)
    with whole_file(path) as temporary:
        (_write_mp4 if path.suffix.lower() == MP4 else _write_gif)(temporary, sheets)
    return len(chosen)


def _turned(
    xyz_nm: np.ndarray, sigma_nm: np.ndarray | None, z_limits_nm: tuple[float, float], gamma: float
) -> Iterator[Image.Image]:
    centre = (xyz_nm.min(axis=0) + xyz_nm.max(axis=0)) / 2
    offset = xyz_nm - centre
    reach = np.array([np.hypot(offset[:, 0], offset[:, 2]).max(), np.abs(offset[:, 1]).max()])
    pixel_nm = float(2 * reach.max() / LARGEST_PX) or 1.0
    corners = np.stack([[-reach[0], -reach[1], 0], [reach[0], reach[1], 0]])
    window = window_around(corners, AXES["xy"], pixel_nm, margin_nm=2 * pixel_nm)
    weights = depth_weights(xyz_nm[:, 2], z_limits_nm)
    level = None
    for index in range(STEPS):
        turn = 2 * np.pi * index / STEPS
        across = offset[:, 0] * np.cos(turn) + offset[:, 2] * np.sin(turn)
        turned = np.stack([across, offset[:, 1], np.zeros(len(offset))], axis=1)
        sigma_px = np.full((len(offset), 2), _LEAST_SIGMA_PX)
        if sigma_nm is not None:
            known = np.nan_to_num(sigma_nm, nan=0.0)
            wide = np.hypot(known[:, 0] * np.cos(turn), known[:, 2] * np.sin(turn))
            sigma_px = np.maximum(np.stack([wide, known[:, 1]], axis=1) / pixel_nm, _LEAST_SIGMA_PX)
        planes = np.zeros((4, *window.shape), np.float32)
        add_gaussians(planes, window.to_pixels(turned), sigma_px, weights)
        level = saturation_level(planes[0]) if level is None else level
        yield annotated(coloured(planes, level, gamma), pixel_nm, z_limits_nm)


def _write_gif(path: Path, sheets: list[Image.Image]) -> None:
    from PIL import Image

    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette().ravel().tolist())
    frames = [sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for sheet in sheets]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:], duration=_MILLISECONDS, loop=0)


def _palette() -> np.ndarray:
    """Return uint8 ``[256, 3]``, sRGB values: the colours of depth in several brightnesses, and greys of text."""
    hues = to_display(depth_map_linear())[np.rint(np.linspace(0, 255, _GIF_HUES)).astype(int)]
    levels = np.linspace(0, 1, (256 - _GIF_GREYS) // _GIF_HUES + 1)[1:]
    lit = (levels[:, None, None] * hues).reshape(-1, 3)
    greys = np.repeat(np.linspace(0, 1, 256 - len(lit))[:, None], 3, axis=1)
    return np.asarray(np.rint(255 * np.concatenate([greys, lit])), np.uint8)


def _write_mp4(path: Path, sheets: list[Image.Image]) -> None:
    """Hand the frames to ffmpeg, padded to even sizes, which its encoder needs."""
    width, height = (size + size % 2 for size in sheets[0].size)
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", f"{1000 / _MILLISECONDS:g}", "-i", "-", "-pix_fmt", "yuv420p", "-crf", "18"]
    command += ["-movflags", "+faststart", "-f", "mp4", str(path)]
    frames = b"".join(sheet.crop((0, 0, width, height)).tobytes() for sheet in sheets)
    done = subprocess.run(command, input=frames * _TURNS_IN_MP4, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise InputError(f"ffmpeg could not write the movie ({reason[-1]}); use .gif instead")
