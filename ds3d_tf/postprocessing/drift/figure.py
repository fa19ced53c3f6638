"""The drift curve as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.common.plotting import new_figure, save_figure
from ds3d_tf.postprocessing.drift.curve import DriftCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#4477aa", "#cc6677", "#228833")


def draw_drift(curve: DriftCurve, path: str | Path, *, has_z: bool) -> None:
    """Draw a curve as PNG; raises InputError if the file cannot be written."""
    save_figure(drift_figure(curve, has_z=has_z), path)


def drift_figure(curve: DriftCurve, *, has_z: bool) -> Figure:
    """Return a figure of displacement over frames, and of y over x."""
    figure = new_figure((9, 3.6))
    over_time, in_plane = figure.subplots(1, 2, width_ratios=(1.7, 1))
    frame = np.arange(1, len(curve.xyz_nm) + 1)
    for axis in range(3 if has_z else 2):
        over_time.plot(frame, curve.xyz_nm[:, axis], color=_COLOURS[axis], label="xyz"[axis])
        if len(curve.knots):
            over_time.plot(curve.knots, curve.knots_nm[:, axis], ".", color=_COLOURS[axis], markersize=3, alpha=0.6)
    over_time.set(xlabel="frame", ylabel="drift (nm)", title=curve.method)
    over_time.grid(alpha=0.3)
    over_time.legend(frameon=False)
    drawn = in_plane.scatter(*curve.xyz_nm[:, :2].T, c=frame, s=3, cmap="viridis")
    figure.colorbar(drawn, ax=in_plane, label="frame")
    in_plane.set(xlabel="x (nm)", ylabel="y (nm)", aspect="equal")
    in_plane.invert_yaxis()
    in_plane.margins(0.15)
    in_plane.grid(alpha=0.3)
    return figure
