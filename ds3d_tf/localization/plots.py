"""Plots of localized frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.plotting import depth_colours, depth_rings, frame_extent_um, new_figure, save_figure, scale_bar
from ds3d_tf.localization.regenerate import RegeneratedFrame
from ds3d_tf.setup import Setup
from ds3d_tf.setup.coordinates import table_origin_um

_FLAT = 0.3


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
    shown = _show_frame(axes, frame, setup)
    rings = _rings(axes, xyz_um, frame.shape, setup)
    figure.colorbar(rings, ax=axes, label="z (µm)", fraction=0.045, pad=0.02)
    figure.colorbar(shown, ax=axes, label="counts", fraction=0.045, pad=0.02)
    axes.set_title(title)
    save_figure(figure, path)


def plot_scatter(
    path: str | Path,
    xyz_um: np.ndarray,
    confidence: np.ndarray,
    frame_shape: tuple[int, int],
    setup: Setup,
    title: str,
) -> None:
    """Draw localizations in three dimensions; the size of a point grows with its confidence.

    Args:
        path: PNG file to write.
        xyz_um: float ``[K, 3]`` (x, y, z), µm.
        confidence: float ``[K]``, confidence in [0, scaling_factor].
        frame_shape: ``(H, W)`` of the frame, pixels.
        setup: the ``Setup`` of pixel size and depth range.
        title: title of the plot.

    Raises InputError if the file cannot be written.
    """
    figure = new_figure((9, 6.2), "compressed")
    axes = figure.add_subplot(projection="3d")
    size = 15 + 60 * np.asarray(confidence) / setup.learning.scaling_factor
    high = setup.volume.z_max_um - setup.volume.z_min_um
    places = np.reshape(xyz_um, (-1, 3)) + table_origin_um(frame_shape, setup)
    # Vertical lines down to the lowest z: without them the eye cannot judge the position in a 3D plot.
    for x, y, z in places:
        axes.plot([x, x], [y, y], [0, z], color="0.8", linewidth=0.7, zorder=1)
    colours = depth_colours(setup.volume.z_min_um, setup.volume.z_max_um)
    axes.scatter(*places.T, c=colours.to_rgba(places[:, 2]), s=size, edgecolors="0.3", linewidths=0.4, depthshade=False)
    height, width = (size * setup.optics.pixel_um for size in frame_shape)
    axes.set(xlabel="x (µm)", ylabel="y (µm)", zlabel="z (µm)", title=title)
    axes.set(xlim=(0, width), ylim=(height, 0), zlim=(0, high))
    if high < _FLAT * max(width, height):
        axes.set_zticks([0, high])  # no room for more in so flat a box
    axes.xaxis.labelpad = axes.yaxis.labelpad = 9
    axes.view_init(elev=28, azim=-60)
    # A µm is as long on every axis.
    axes.set_box_aspect((width, height, high), zoom=1.05)
    figure.colorbar(colours, ax=axes, label="z (µm); the larger a point, the surer", fraction=0.03, pad=0.12)
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
    """Show a frame with µm axes whose zero is a table's: the upper left corner."""
    low, high = _contrast(frame) if contrast is None else contrast
    axes.set(xlabel="x (µm)", ylabel="y (µm)")
    extent = frame_extent_um(frame.shape, setup.optics.pixel_um)
    shown = axes.imshow(frame, cmap=colours, vmin=low, vmax=high, extent=extent, interpolation="nearest")
    scale_bar(axes, extent[1], extent[2])
    return shown


def _rings(axes: Any, xyz_um: np.ndarray, frame_shape: tuple[int, ...], setup: Setup) -> Any:
    """Draw rings coloured by depth and return what a colour bar needs."""
    places = np.reshape(xyz_um, (-1, 3)) + table_origin_um(frame_shape, setup)
    colours = depth_colours(setup.volume.z_min_um, setup.volume.z_max_um)
    depth_rings(axes, places, colours)
    return colours
