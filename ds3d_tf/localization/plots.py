"""Plots of localized frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.plotting import DEPTH_COLOUR_MAP, depth_colours, frame_extent_um, new_figure, save_figure
from ds3d_tf.localization.regenerate import RegeneratedFrame
from ds3d_tf.setup import Setup


def plot_overlay(path: str | Path, frame: np.ndarray, xyz_um: np.ndarray, setup: Setup, title: str) -> None:
    """Draw the localizations of a frame as rings on it, coloured by depth.

    Args:
        path: PNG file to write.
        frame: float ``[H, W]`` (row, column), counts.
        xyz_um: float ``[K, 3]`` (x, y, z), µm, x = y = 0 at the centre of pixel (H // 2, W // 2).
        setup: the ``Setup`` of pixel size and depth range.
        title: title of the plot.

    Raises InputError if the file cannot be written.
    """
    figure = new_figure((9, 9 * frame.shape[0] / frame.shape[1] * 0.86 + 0.6), "compressed")
    axes = figure.add_subplot()
    _show_frame(axes, frame, setup)
    rings = _rings(axes, xyz_um, setup)
    figure.colorbar(rings, ax=axes, label="z above the coverslip (µm)", fraction=0.045, pad=0.02)
    axes.set_title(title)
    save_figure(figure, path)


def plot_scatter(path: str | Path, xyz_um: np.ndarray, confidence: np.ndarray, setup: Setup, title: str) -> None:
    """Draw localizations in three dimensions; the size of a point grows with its confidence.

    Args:
        path: PNG file to write.
        xyz_um: float ``[K, 3]`` (x, y, z), µm.
        confidence: float ``[K]``, confidence in [0, scaling_factor].
        setup: the ``Setup`` of the depth range.
        title: title of the plot.

    Raises InputError if the file cannot be written.
    """
    figure = new_figure((8, 6.2), "compressed")
    axes = figure.add_subplot(projection="3d")
    size = 15 + 60 * np.asarray(confidence) / setup.learning.scaling_factor
    low, high = setup.volume.z_min_um, setup.volume.z_max_um
    # Vertical lines down to the lowest z: without them the eye cannot judge the position in a 3D plot.
    for x, y, z in xyz_um:
        axes.plot([x, x], [y, y], [low, z], color="0.8", linewidth=0.7, zorder=1)
    axes.scatter(*np.transpose(xyz_um), c=xyz_um[:, 2], s=size, cmap=DEPTH_COLOUR_MAP, vmin=low, vmax=high)
    axes.set(xlabel="x (µm)", ylabel="y (µm)", zlabel="z (µm)", zlim=(low, high), title=title)
    axes.invert_yaxis()
    axes.view_init(elev=28, azim=-60)
    spread = max([1.0, *(np.ptp(xyz_um[:, :2], axis=0) if len(xyz_um) else [])])
    axes.set_box_aspect((1, 1, max(0.35, min(1.0, (high - low) / spread))), zoom=1.12)
    save_figure(figure, path)


def plot_regenerated(path: str | Path, frame: np.ndarray, regenerated: RegeneratedFrame, setup: Setup) -> None:
    """Draw a frame, the frame rebuilt from its localizations, and their difference.

    Args:
        path: PNG file to write.
        frame: float ``[H, W]`` (row, column), counts.
        regenerated: the frame rebuilt from its localizations.
        setup: the ``Setup`` of the pixel size.

    Raises InputError if the file cannot be written.
    """
    height, width = frame.shape
    panel = 4.6
    figure = new_figure((3 * panel + 1.6, panel * height / width + 1.0), "compressed")
    panels = figure.subplots(1, 3)
    low, high = _contrast(frame)
    shown = _show_frame(panels[0], frame, setup, (low, high))
    _show_frame(panels[1], regenerated.image, setup, (low, high))
    difference = frame - regenerated.image
    limit = max((high - low) / 2, 1e-6)
    residual = _show_frame(panels[2], difference, setup, (-limit, limit), "RdBu_r")
    panels[0].set_title("input")
    panels[1].set_title(f"from {len(regenerated.photons)} localizations ({regenerated.explained:.0%} of the variance)")
    panels[2].set_title("difference")
    for axes in panels[1:]:
        axes.set_ylabel("")
    for mappable, axes in ((shown, panels[1]), (residual, panels[2])):
        figure.colorbar(mappable, ax=axes, label="counts", fraction=0.046, pad=0.02)
    save_figure(figure, path)


def _contrast(frame: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(frame, [1, 99.7])
    return float(low), float(max(high, low + 1e-6))


def _show_frame(
    axes: Any, frame: np.ndarray, setup: Setup, contrast: tuple[float, float] | None = None, colours: str = "gray"
) -> Any:
    """Show a frame with µm axes whose zero is the package's: the centre of pixel (H // 2, W // 2)."""
    low, high = _contrast(frame) if contrast is None else contrast
    axes.set(xlabel="x (µm)", ylabel="y (µm)")
    extent = frame_extent_um(frame.shape, setup.optics.pixel_um)
    return axes.imshow(frame, cmap=colours, vmin=low, vmax=high, extent=extent, interpolation="nearest")


def _rings(axes: Any, xyz_um: np.ndarray, setup: Setup) -> Any:
    """Draw rings coloured by depth and return what a colour bar needs."""
    xyz_um = np.reshape(xyz_um, (-1, 3))
    colours = depth_colours(setup.volume.z_min_um, setup.volume.z_max_um)
    edges = colours.to_rgba(xyz_um[:, 2])
    axes.scatter(xyz_um[:, 0], xyz_um[:, 1], s=70, linewidths=1.4, facecolors="none", edgecolors=edges)
    return colours
