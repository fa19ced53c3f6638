"""Figures of localized frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.files import whole_file
from ds3d_tf.localization.regenerate import RegeneratedFrame

_DEPTH_COLOURS = "turbo"


def plot_overlay(path: str | Path, frame: np.ndarray, xyz_um: np.ndarray, setup: Any, title: str) -> None:
    """Draw the localizations of a frame as rings on it, coloured by depth.

    Args:
        path: PNG file to write.
        frame: float ``[H, W]`` (row, column), counts.
        xyz_um: float ``[K, 3]`` (x, y, z), µm, x = y = 0 at the centre of pixel (H // 2, W // 2).
        setup: the ``Setup`` of pixel size and depth range.
        title: what stands above.

    Raises InputError if the file cannot be written.
    """
    figure = _figure((9, 9 * frame.shape[0] / frame.shape[1] * 0.86 + 0.6))
    axes = figure.add_subplot()
    _show_frame(axes, frame, setup)
    rings = _rings(axes, xyz_um, setup)
    figure.colorbar(rings, ax=axes, label="z above the coverslip (µm)", fraction=0.045, pad=0.02)
    axes.set_title(title)
    _save(figure, path)


def plot_scatter(path: str | Path, xyz_um: np.ndarray, confidence: np.ndarray, setup: Any, title: str) -> None:
    """Draw localizations in three dimensions; the size of a point grows with its confidence.

    Args:
        path: PNG file to write.
        xyz_um: float ``[K, 3]`` (x, y, z), µm.
        confidence: float ``[K]``, confidence in [0, scaling_factor].
        setup: the ``Setup`` of the depth range.
        title: what stands above.

    Raises InputError if the file cannot be written.
    """
    figure = _figure((8, 6.2))
    axes = figure.add_subplot(projection="3d")
    size = 15 + 60 * np.asarray(confidence) / setup.learning.scaling_factor
    low, high = setup.volume.z_min_um, setup.volume.z_max_um
    # Stems down to the floor: without them the eye cannot tell depth from height.
    for x, y, z in xyz_um:
        axes.plot([x, x], [y, y], [low, z], color="0.8", linewidth=0.7, zorder=1)
    axes.scatter(*np.transpose(xyz_um), c=xyz_um[:, 2], s=size, cmap=_DEPTH_COLOURS, vmin=low, vmax=high)
    axes.set(xlabel="x (µm)", ylabel="y (µm)", zlabel="z (µm)", zlim=(low, high), title=title)
    axes.invert_yaxis()
    axes.view_init(elev=28, azim=-60)
    spread = max([1.0, *(np.ptp(xyz_um[:, :2], axis=0) if len(xyz_um) else [])])
    axes.set_box_aspect((1, 1, max(0.35, min(1.0, (high - low) / spread))), zoom=1.12)
    _save(figure, path)


def plot_regenerated(path: str | Path, frame: np.ndarray, again: RegeneratedFrame, setup: Any) -> None:
    """Draw a frame, the same made again from its localizations, and their difference.

    Args:
        path: PNG file to write.
        frame: float ``[H, W]`` (row, column), counts.
        again: the frame made again.
        setup: the ``Setup`` of the pixel size.

    Raises InputError if the file cannot be written.
    """
    height, width = frame.shape
    panel = 4.6
    figure = _figure((3 * panel + 1.6, panel * height / width + 1.0))
    panels = figure.subplots(1, 3)
    low, high = _contrast(frame)
    shown = _show_frame(panels[0], frame, setup, (low, high))
    _show_frame(panels[1], again.image, setup, (low, high))
    difference = frame - again.image
    limit = max((high - low) / 2, 1e-6)
    residual = _show_frame(panels[2], difference, setup, (-limit, limit), "RdBu_r")
    panels[0].set_title("input")
    panels[1].set_title(f"from {len(again.photons)} localizations ({again.explained:.0%} of the variance)")
    panels[2].set_title("difference")
    for axes in panels[1:]:
        axes.set_ylabel("")
    for mappable, axes in ((shown, panels[1]), (residual, panels[2])):
        figure.colorbar(mappable, ax=axes, label="counts", fraction=0.046, pad=0.02)
    _save(figure, path)


def _figure(size_inches: tuple[float, float]) -> Any:
    # The object interface leaves pyplot's global state and the user's backend alone.
    from matplotlib.figure import Figure

    return Figure(figsize=size_inches, layout="compressed")


def _save(figure: Any, path: str | Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _contrast(frame: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(frame, [1, 99.7])
    return float(low), float(max(high, low + 1e-6))


def _show_frame(
    axes: Any, frame: np.ndarray, setup: Any, contrast: tuple[float, float] | None = None, colours: str = "gray"
) -> Any:
    """Show a frame with µm axes whose zero is the package's: the centre of pixel (H // 2, W // 2)."""
    height, width = frame.shape
    pixel = setup.optics.pixel_um
    left, top = -(width // 2 + 0.5) * pixel, -(height // 2 + 0.5) * pixel
    low, high = _contrast(frame) if contrast is None else contrast
    axes.set(xlabel="x (µm)", ylabel="y (µm)")
    extent = (left, left + width * pixel, top + height * pixel, top)
    return axes.imshow(frame, cmap=colours, vmin=low, vmax=high, extent=extent, interpolation="nearest")


def _rings(axes: Any, xyz_um: np.ndarray, setup: Any) -> Any:
    """Draw rings coloured by depth and return what a colour bar needs."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    xyz_um = np.reshape(xyz_um, (-1, 3))
    colours = ScalarMappable(Normalize(setup.volume.z_min_um, setup.volume.z_max_um), _DEPTH_COLOURS)
    edges = colours.to_rgba(xyz_um[:, 2])
    axes.scatter(xyz_um[:, 0], xyz_um[:, 1], s=70, linewidths=1.4, facecolors="none", edgecolors=edges)
    return colours
