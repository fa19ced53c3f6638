"""Figures of a prepared recording: what was taken off, and what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SHOWN_FRAMES = 3


def draw_minimum(path: Path, minimum: np.ndarray, means: np.ndarray) -> None:
    """Draw the minimum projection, and the mean of each frame, as a PNG.

    Args:
        path: PNG to write.
        minimum: float ``[H, W]``, counts.
        means: float ``[F]``, mean counts of each frame.
    """
    height, width = minimum.shape
    figure = _figure((11, 0.6 + min(9.0, max(3.2, 6 * height / width))))
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    low, high = np.percentile(minimum, [0.2, 99.8])
    shown = left.imshow(minimum, cmap="viridis", vmin=low, vmax=max(high, low + 1))
    figure.colorbar(shown, ax=left, label="counts", shrink=0.8)
    left.set_title(f"minimum projection: mean {minimum.mean():.1f} counts, {minimum.min():.0f} to {minimum.max():.0f}")
    left.set(xlabel="column (pixel)", ylabel="row (pixel)")
    right.plot(np.arange(1, len(means) + 1), means, linewidth=0.8)
    right.set(xlabel="frame", ylabel="mean counts", title="mean of each raw frame")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=110)


def draw_prepared(path: Path, raw: list[np.ndarray], minimum: np.ndarray, names: list[str]) -> None:
    """Draw frames before (above) and after (below) the minimum is taken off, as a PNG.

    Args:
        path: PNG to write.
        raw: a few frames, each float ``[H, W]``, counts.
        minimum: float ``[H, W]``, counts.
        names: one name a frame.
    """
    height, width = minimum.shape
    figure = _figure((4.2 * len(raw) + 1, 1.0 + 2 * min(9.0, 4.2 * height / width)))
    panels = figure.subplots(2, len(raw), squeeze=False, sharex=True, sharey=True)
    rows = (("raw", raw), ("prepared", [np.maximum(frame - minimum, 0) for frame in raw]))
    for row, (title, frames) in zip(panels, rows, strict=True):
        low, high = np.percentile(np.stack(frames), [1, 99.8])
        for panel, frame, name in zip(row, frames, names, strict=True):
            shown = panel.imshow(frame, cmap="gray", vmin=low, vmax=max(high, low + 1), interpolation="nearest")
            panel.set_title(f"{name}, {title}")
            panel.label_outer()
        row[0].set_ylabel("row (pixel)")
        figure.colorbar(shown, ax=list(row), label="counts", shrink=0.8, pad=0.01)
    for panel in panels[-1]:
        panel.set_xlabel("column (pixel)")
    figure.savefig(path, format="png", dpi=110)


def _figure(size_inches: tuple[float, float]) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=size_inches, layout="constrained")
