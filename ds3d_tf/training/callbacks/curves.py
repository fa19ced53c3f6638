"""The history of a run as a plot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from ds3d_tf.common.files import whole_file
from ds3d_tf.common.plotting import new_figure

# The axis is logarithmic if the largest value is at least this many times the smallest, else it starts at 0.
WIDE_RANGE = 10

_PANELS = (
    ("loss", (("loss", "training"), ("val_loss", "validation")), "log"),
    ("soft Jaccard of voxels", (("jaccard", "training"), ("val_jaccard", "validation")), "unit"),
    ("Jaccard of matched emitters", (("matched_jaccard", "validation"),), "unit"),
    ("RMSE of matched pairs (nm)", (("rmse_lateral_nm", "lateral"), ("rmse_axial_nm", "axial")), "zero"),
    ("learning rate", (("learning_rate", None),), "log"),
)  # fmt: skip


class CurvesFile(keras.callbacks.Callback):
    """Draws the rows of a history into an image file after each epoch, at most once in ``every_seconds``."""

    def __init__(
        self, path: str | Path, rows: Sequence[dict[str, float]], title: str = "", every_seconds: float = 30.0
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.rows = rows
        self.title = title
        self.every_seconds = every_seconds
        self._next = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw if it is time."""
        if time.monotonic() >= self._next:
            self.draw()
            self._next = time.monotonic() + self.every_seconds

    def draw(self) -> None:
        """Draw now, if any epoch has ended; raises InputError if the file cannot be written."""
        if self.rows:
            draw_history(self.rows, self.path, self.title)


def draw_history(rows: Sequence[dict[str, float]], path: str | Path, title: str = "") -> None:
    """Draw losses, Jaccard indices, RMSEs and learning rate against the epoch into an image file.

    Args:
        rows: one dictionary an epoch, as in ``history.csv``.
        path: image to write; its suffix tells the format.
        title: headline.

    Raises InputError if the file cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure((14, 7))
    panels = figure.subplots(2, 3).flat
    panels[-1].set_axis_off()
    for axes, (label, curves, scale) in zip(panels, _PANELS, strict=False):
        _draw_panel(axes, rows, curves, scale)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    if title:
        figure.suptitle(title)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw_panel(axes: Any, rows: Sequence[dict[str, float]], curves: Any, scale: str) -> None:
    drawn = []
    for name, label in curves:
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        if points:
            epochs, values = zip(*points, strict=True)
            # Markers make a curve of few epochs visible.
            axes.plot(epochs, values, marker="o" if len(points) < 30 else None, markersize=4, label=label)
            drawn += [value for value in values if value == value]
    if not drawn:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        return
    if scale == "unit":
        axes.set_ylim(0, 1)
    elif scale == "log" and min(drawn) > 0 and max(drawn) >= WIDE_RANGE * min(drawn):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    if any(label for _, label in curves):
        # Above the panel, where it hides no curve.
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(curves), frameon=False, fontsize="small")
