"""A picture of simulated frames with their emitters marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.setup import Setup
from ds3d_tf.simulation.stream import SimulatedFrames

MOST_FRAMES = 6
_COLUMNS = 3


def save_preview(path: str | Path, setup: Setup, simulated: SimulatedFrames) -> None:
    """Write a PNG of the first frames: labelled emitters as circles coloured by depth, others as grey crosses."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    volume, pixel_um = setup.volume, setup.optics.pixel_um
    count = min(len(simulated.frames), MOST_FRAMES)
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(3.6 * columns + 1.2, 3.6 * rows * volume.height_px / volume.width_px + 1.0))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    depth = ScalarMappable(Normalize(volume.z_min_um, volume.z_max_um), cmap="rainbow")
    for place, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if place >= count:
            continue
        frame = simulated.frames[place]
        axis.imshow(frame, cmap="gray", vmin=np.percentile(frame, 0.5), vmax=np.percentile(frame, 99.8))
        present, labelled = simulated.photons[place] > 0, simulated.labelled[place]
        column = simulated.xyz_um[place, :, 0] / pixel_um + volume.width_px // 2
        row = simulated.xyz_um[place, :, 1] / pixel_um + volume.height_px // 2
        faint = present & ~labelled
        axis.scatter(column[faint], row[faint], marker="x", c="0.75", s=22, linewidths=0.8)
        colours = depth.to_rgba(simulated.xyz_um[place, labelled, 2])
        axis.scatter(column[labelled], row[labelled], s=26, linewidths=1.3, facecolors="none", edgecolors=colours)
        axis.set_xlim(-0.5, volume.width_px - 0.5)
        axis.set_ylim(volume.height_px - 0.5, -0.5)
        number = f"{present.sum()} emitters" + (f", {faint.sum()} too faint to label (×)" if faint.any() else "")
        axis.set_title(f"frame {place + 1}: {number}", fontsize=8)
        _scale_bar(axis, frame.shape, pixel_um)
    figure.colorbar(depth, ax=axes, label="z [µm]", shrink=0.8)
    figure.suptitle(f"{setup.name}: simulated frames", fontsize=10)
    figure.savefig(path, dpi=110, format="png")


def _scale_bar(axis: Any, shape: tuple[int, int], pixel_um: float) -> None:
    """Draw a bar of a round length of about a quarter of the frame."""
    lengths_um = [0.5, 1, 2, 5, 10, 20, 50]
    target = shape[1] * pixel_um / 4
    length = max([value for value in lengths_um if value <= target], default=lengths_um[0])
    left, top = 0.04 * shape[1], 0.95 * shape[0]
    axis.plot([left, left + length / pixel_um], [top, top], color="white", linewidth=2.5, solid_capstyle="butt")
    axis.text(left, top - 0.02 * shape[0], f"{length:g} µm", color="white", fontsize=7, va="bottom")
