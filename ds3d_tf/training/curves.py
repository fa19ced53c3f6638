"""The course of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ds3d_tf.common.files import whole_file

_PANELS = (
    ("loss", (("loss", "training"), ("val_loss", "validation")), "log"),
    ("Jaccard index", (("jaccard", "soft, training"), ("val_jaccard", "soft, validation"),
                       ("matched_jaccard", "matched, validation")), "unit"),
    ("RMSE of matched pairs [nm]", (("rmse_lateral_nm", "lateral"), ("rmse_axial_nm", "axial")), "zero"),
    ("learning rate", (("learning_rate", None),), "log"),
)  # fmt: skip


def draw_curves(rows: Sequence[dict[str, float]], path: str | Path, title: str = "") -> None:
    """Draw losses, Jaccard indices, RMSEs and learning rate against the epoch into an image file.

    Args:
        rows: one dictionary an epoch, as in ``history.csv``.
        path: image to write; its suffix tells the format.
        title: headline.

    Raises InputError if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (label, curves, scale) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
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
            # Few epochs would be an invisible line without marks.
            axes.plot(epochs, values, marker="o" if len(points) < 30 else None, markersize=4, label=label)
            drawn += [value for value in values if value == value]
    if not drawn:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        return
    if scale == "log" and min(drawn) > 0:
        axes.set_yscale("log")
    elif scale == "unit":
        axes.set_ylim(0, 1)
    else:
        axes.set_ylim(bottom=0)
    if any(label for _, label in curves):
        axes.legend()
