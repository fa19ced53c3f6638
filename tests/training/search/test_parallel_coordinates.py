"""The figure of a search: its lines, read back from the axes that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.setup.search_space import Dimension
from ds3d_tf.training.search.parallel_coordinates import plot_parallel_coordinates

SPACE = (
    Dimension("learning.learning_rate", "float", 1e-4, 1e-2, log=True),
    Dimension("learning.filters", "int", 8, 24),
    Dimension("emitters.count_range", "choice", values=((1, 7), (1, 15), (1, 35))),
)


def row(status: str, *values, **outcome) -> dict:
    return {"status": status, **dict(zip((one.field for one in SPACE), values, strict=True)), **outcome}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **more: (figures.append(self), save(self, *args, **more))
    )
    return figures


@pytest.mark.parametrize(("objective", "best"), [("matched_jaccard", 0), ("val_loss", 1)])
def test_lines_go_where_the_values_are(tmp_path, drawn, objective, best):
    rows = [
        row("completed", 1e-3, 24, [1, 7], **{objective: 0.75}),
        row("completed", 1e-4, 16, [1, 35], **{objective: 0.25}),
        row("failed", 1e-2, 8, [1, 15]),
    ]
    plot_parallel_coordinates(tmp_path / "figure.png", rows, SPACE, objective, "outcome")
    axes = drawn[0].axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) >= len(SPACE)]
    expected = ([0.5, 1, 0, 1], [0, 0.5, 1, 0], [1, 0, 0.5])
    for line, heights in zip(lines, expected, strict=True):
        # Lines through one value of a few lie side by side, within 3 % of the axis.
        assert np.abs(line.get_ydata() - heights).max() <= 0.0151
    assert [line.get_color() == "black" for line in lines[:2]] == [best == 0, best == 1]
    assert "1 failed" in axes.get_xlabel()
    assert {"0.0001", "0.01", "24", "1, 35"} <= {text.get_text() for text in axes.texts}
    assert (tmp_path / "figure.png").stat().st_size > 5000


def test_a_single_trial_and_none(tmp_path, drawn):
    only = row("completed", 1e-3, 24, [1, 7], val_loss=0.0)
    plot_parallel_coordinates(tmp_path / "one.png", [only], SPACE, "val_loss", "loss")
    plot_parallel_coordinates(tmp_path / "none.png", [row("failed", 1e-3, 24, [1, 7])], SPACE, "val_loss", "loss")
    one, none = ([line for line in figure.axes[0].lines if len(line.get_xdata()) >= len(SPACE)] for figure in drawn)
    # A trial that completed has an outcome to be drawn to; one that failed ends before it.
    assert [len(line.get_xdata()) for line in one] == [len(SPACE) + 1]
    assert [len(line.get_xdata()) for line in none] == [len(SPACE)]
    assert np.isfinite(one[0].get_ydata()).all()
