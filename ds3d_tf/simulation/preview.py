"""A picture of simulated frames with their emitters marked, beside real frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ds3d_tf.common.plotting import depth_colours, depth_rings, frame_extent_um, new_figure, save_figure, scale_bar
from ds3d_tf.setup import Setup
from ds3d_tf.setup.coordinates import table_origin_um
from ds3d_tf.simulation.stream import SimulatedFrames

MOST_FRAMES = 6
_COLUMNS = 3


def _middle(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a frame's middle of the simulated frames' size, so that both are seen on one scale."""
    top, left = (max(there - wanted, 0) // 2 for there, wanted in zip(frame.shape, (height, width), strict=True))
    return frame[top : top + height, left : left + width]


def save_preview(path: str | Path, setup: Setup, simulated: SimulatedFrames, real: Sequence[np.ndarray] = ()) -> None:
    """Write a PNG of the first frames: labelled emitters as circles coloured by depth, others as grey crosses.

    Args:
        path: PNG file to write.
        setup: the ``Setup``.
        simulated: the frames and their emitters.
        real: frames to show above them, float ``[H, W]`` (row, column) each, counts; all have one scale of counts.
    """
    height, width = simulated.frames.shape[1:]
    whole = list(real)[:_COLUMNS]
    real = [_middle(frame, height, width) for frame in whole]
    count = min(len(simulated.frames), MOST_FRAMES)
    columns = min(max(count, len(real)), _COLUMNS)
    rows = -(-count // columns) + bool(real)
    figure = new_figure((3.6 * columns + 2.0, 3.6 * rows * height / width + 1.0))
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    everything = [simulated.frames[place] for place in range(count)]
    low, high = np.percentile(np.concatenate([np.ravel(frame) for frame in [*real, *everything]]), [0.5, 99.8])
    grey = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-6), "interpolation": "nearest"}
    for panel, frame, uncut in zip(panels.flat, real, whole, strict=False):
        extent = frame_extent_um(frame.shape, setup.optics.pixel_um)
        shown = panel.imshow(frame, extent=extent, **grey)
        panel.set_title("real" + (", the middle" if frame.shape != uncut.shape else ""), fontsize=8)
        scale_bar(panel, extent[1], extent[2])
    depth = depth_colours(setup.volume.z_min_um, setup.volume.z_max_um)
    origin_um = table_origin_um((height, width), setup)
    extent = frame_extent_um((height, width), setup.optics.pixel_um)
    for place, panel in enumerate(panels.flat[columns * bool(real) :][:count]):
        shown = panel.imshow(everything[place], extent=extent, **grey)
        present, labelled = simulated.photons[place] > 0, simulated.labelled[place]
        places = simulated.xyz_um[place] + origin_um
        faint = present & ~labelled
        panel.scatter(*places[faint, :2].T, marker="x", c="0.75", s=22, linewidths=0.8)
        depth_rings(panel, places[labelled], depth, 26, 1.3)
        number = f"{present.sum()} emitters" + (f", {faint.sum()} too faint to label (×)" if faint.any() else "")
        panel.set_title(f"simulated frame {place + 1}: {number}", fontsize=8)
        scale_bar(panel, extent[1], extent[2])
    figure.colorbar(depth, ax=panels, label="z (µm)", shrink=0.8)
    figure.colorbar(shown, ax=panels, label="counts (all frames alike)", shrink=0.8)
    figure.suptitle(setup.name, fontsize=10)
    save_figure(figure, path, dpi=110)
