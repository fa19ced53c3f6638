"""A plot of all trials of a search: one axis for each setting and one for the metric, one line for each trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.plotting import new_figure, save_figure
from ds3d_tf.setup.search_space import Dimension

_FAILED = "#b03a2e"
_MAX_TICKS = 6
_WIDTH_OF_A_VALUE = 0.03
_SIDE_BY_SIDE = 7


def plot_parallel_coordinates(
    path: str | Path, rows: Sequence[Mapping[str, Any]], space: Sequence[Dimension], objective: str, label: str
) -> None:
    """Draw each trial as a line through its settings to its metric, the best one bold, failed ones dashed.

    Args:
        path: PNG file to write.
        rows: one per trial: ``status``, values by ``section.field``, and the objective of completed ones.
        space: the settings, in the order of the axes.
        objective: name of the metric in the rows.
        label: its name in the plot.

    Raises InputError if the file cannot be written.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    completed = [row for row in rows if row["status"] == "completed"]
    outcomes = np.array([row[objective] for row in completed], float)
    better = min if objective == "val_loss" else max
    low, high = (float(outcomes.min()), float(outcomes.max())) if len(outcomes) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    # Poor results are pale, good ones dark.
    colours = ScalarMappable(Normalize(low, high), "viridis" if objective == "val_loss" else "viridis_r")

    figure = new_figure((max(6.0, 1.9 * (len(space) + 1)), 4.6))
    axes = figure.subplots()
    last = len(space)
    best = better(completed, key=lambda row: row[objective], default=None)
    for number, row in enumerate(rows):
        # Lines that share one of a few values are drawn side by side.
        aside = _WIDTH_OF_A_VALUE * ((number % _SIDE_BY_SIDE) / (_SIDE_BY_SIDE - 1) - 0.5)
        places = [
            _place(dimension, row[dimension.field]) + (aside if _is_discrete(dimension) else 0.0) for dimension in space
        ]
        if row["status"] == "completed":
            places.append((row[objective] - low) / (high - low))
            style: dict[str, Any] = {"color": colours.to_rgba(row[objective]), "linewidth": 1.4, "alpha": 0.9}
            if row is best:
                style |= {"color": "black", "linewidth": 3.0, "zorder": 3}
        else:
            style = {"color": _FAILED, "linewidth": 1.0, "linestyle": "--", "alpha": 0.6}
        axes.plot(range(len(places)), places, **style)
    for number, dimension in enumerate(space):
        ticks = [(_place(dimension, value), _text(value)) for value in _ticks(dimension)]
        _axis(axes, number, ticks)
    outcome_ticks = [((value - low) / (high - low), f"{value:.3g}") for value in np.linspace(low, high, 5)]
    _axis(axes, last, outcome_ticks)
    names = [dimension.field.replace(".", ".\n") for dimension in space]
    axes.set_xticks(range(last + 1), [*names, label.replace(" ", "\n", 1)])
    axes.tick_params(axis="x", length=0, labeltop=True, labelbottom=False)
    axes.set_yticks([])
    # Room for the labels of the last axis.
    axes.set_xlim(-0.25, last + 0.45)
    axes.set_ylim(-0.06, 1.06)
    for side in axes.spines.values():
        side.set_visible(False)
    failed = len(rows) - len(completed)
    note = f"{len(completed)} trials, the best in black" + (f"; {failed} failed (dashed)" if failed else "")
    axes.set_xlabel(note)
    save_figure(figure, path)


def _place(dimension: Dimension, value: Any) -> float:
    """Return where a value lies on its axis, from 0 to 1."""
    if dimension.kind == "choice":
        texts = [_text(one) for one in dimension.values]
        return 0.5 if len(texts) == 1 else texts.index(_text(value)) / (len(texts) - 1)
    low, high, value = dimension.low, dimension.high, float(value)
    if dimension.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _is_discrete(dimension: Dimension) -> bool:
    return dimension.kind == "choice" or dimension.step is not None


def _ticks(dimension: Dimension) -> list[Any]:
    if dimension.kind == "choice":
        return list(dimension.values)
    if dimension.log:
        powers = range(math.ceil(math.log10(dimension.low)), math.floor(math.log10(dimension.high)) + 1)
        inner = [10.0**power for power in powers]
        if dimension.high < 30 * dimension.low:
            decades = range(math.floor(math.log10(dimension.low)), math.ceil(math.log10(dimension.high)))
            inner = [one * 10.0**power for power in decades for one in (1, 2, 5)]
            inner = [one for one in inner if dimension.low < one < dimension.high]
    else:
        inner = list(np.linspace(dimension.low, dimension.high, 5)[1:-1])
    inner = inner[:: max(1, len(inner) // _MAX_TICKS)]
    ends = [dimension.low, dimension.high]
    apart = [one for one in inner if all(abs(_place(dimension, one) - _place(dimension, end)) > 0.05 for end in ends)]
    return [ends[0], *apart, ends[1]]


def _axis(axes: Any, number: int, ticks: list[tuple[float, str]]) -> None:
    axes.axvline(number, ymin=0.06 / 1.12, ymax=1.06 / 1.12, color="0.3", linewidth=1.0, zorder=1)
    for place, text in ticks:
        axes.plot([number, number + 0.03], [place, place], color="0.3", linewidth=1.0)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
        axes.text(number + 0.05, place, text, va="center", fontsize=9, bbox=box, zorder=4)


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
