"""A picture of molecules: what is accumulated, from which direction, with which colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.postprocessing.molecules.molecules import Molecules
from ds3d_tf.postprocessing.pictures.colours import coloured, depth_weights, saturation_level
from ds3d_tf.postprocessing.pictures.gaussians import add_gaussians
from ds3d_tf.postprocessing.pictures.histogram import AT_A_TIME, count_into
from ds3d_tf.postprocessing.pictures.window import AXES, Window, window_around

_MARGIN_SIGMAS = 3.5


@dataclass(frozen=True, eq=False)
class Picture:
    """An accumulated picture.

    Attributes:
        planes: float32 ``[C, rows, columns]``: molecules per pixel, and, if coloured, sums of linear colours (no unit).
        window: the part of the sample, in nm.
        z_limits_nm: depths of the first and the last colour, nm; None for a picture without depth.
        molecules: how many molecules it was made of.
    """

    planes: np.ndarray
    window: Window
    z_limits_nm: tuple[float, float] | None
    molecules: int

    @property
    def counts(self) -> np.ndarray:
        """float32 ``[rows, columns]``: molecules per pixel; no unit."""
        return np.asarray(self.planes[0])

    def colours(self, level: float | None = None, gamma: float = 0.5) -> np.ndarray:
        """Return uint8 ``[rows, columns, 3]`` to look at, sRGB values; ``level`` is the brightest count, if given."""
        return coloured(self.planes, saturation_level(self.counts) if level is None else level, gamma)


def depth_limits(molecules: Molecules, given_nm: tuple[float, float] | None) -> tuple[float, float]:
    """Return the depths of the first and the last colour, nm: those given, or such that 1 % lie beyond.

    Raises InputError if they are the wrong way round.
    """
    if given_nm is not None:
        if not given_nm[0] < given_nm[1]:
            raise InputError(
                f"{argument('z_range_nm')} {given_nm[0]:g} {given_nm[1]:g}: expected the smaller one first"
            )
        return given_nm
    z_nm = molecules.xyz_nm[:, 2]
    low, high = np.percentile(z_nm[:: max(1, len(z_nm) // 1_000_000)], [0.5, 99.5])
    return float(np.floor(low / 10) * 10), float(max(np.ceil(high / 10) * 10, np.floor(low / 10) * 10 + 10))


def picture_window(molecules: Molecules, direction: str, pixel_nm: float, sigma_nm: np.ndarray | None) -> Window:
    """Return the window that shows all molecules and the whole frame, where its size is known.

    Args:
        molecules: at least one.
        direction: "xy", "xz" or "zy": axes of columns and rows.
        pixel_nm: pixel of the picture, nm.
        sigma_nm: float ``[N, 3]``, nm, of Gaussians that are to be whole; None for a histogram.
    """
    frame_nm = None
    if molecules.frame_shape is not None and molecules.pixel_nm is not None:
        height, width = molecules.frame_shape
        frame_nm = (width * molecules.pixel_nm, height * molecules.pixel_nm)
    margin_nm = (0.0, 0.0)
    if sigma_nm is not None:
        shown = sigma_nm[:, list(AXES[direction][:2])]
        across, down = _MARGIN_SIGMAS * np.percentile(shown[:: max(1, len(shown) // 100_000)], 99, axis=0)
        margin_nm = (float(across), float(down))
    return window_around(molecules.xyz_nm, AXES[direction], pixel_nm, margin_nm=margin_nm, frame_nm=frame_nm)


def render_picture(
    molecules: Molecules,
    window: Window,
    sigma_nm: np.ndarray | None = None,
    z_limits_nm: tuple[float, float] | None = None,
    progress: Progress = no_progress,
) -> Picture:
    """Return the picture of molecules in a window.

    Args:
        molecules: what is shown.
        window: part of the sample, direction and pixel.
        sigma_nm: float ``[N, 3]``, standard deviations of the Gaussians, nm; None counts the molecules of each pixel.
        z_limits_nm: depths of the first and the last colour, nm; None: without colour.
        progress: told how many molecules are done.
    """
    xyz_nm = molecules.xyz_nm
    planes = np.zeros((1 if z_limits_nm is None else 4, *window.shape), np.float32)
    total = len(molecules)
    if sigma_nm is None:
        for start in range(0, total, AT_A_TIME):
            part = xyz_nm[start : start + AT_A_TIME]
            weights = None if z_limits_nm is None else depth_weights(part[:, 2], z_limits_nm)
            count_into(planes, window.to_pixels(part), weights)
            progress("rendering", min(start + AT_A_TIME, total), total)
    else:
        sigma_px = sigma_nm[:, list(window.axes[:2])] / window.pixel_nm
        weights = None if z_limits_nm is None else depth_weights(xyz_nm[:, 2], z_limits_nm)
        add_gaussians(
            planes,
            window.to_pixels(xyz_nm),
            sigma_px,
            weights,
            lambda done: progress("rendering", done, total),
        )
    return Picture(planes, window, z_limits_nm, total)
