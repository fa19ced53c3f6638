"""Quality as figures: resolution, precision, recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.plotting import new_figure
from ds3d_tf.postprocessing.quality.measure import Quality
from ds3d_tf.postprocessing.quality.ring_correlation import THRESHOLD, RingCorrelation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#4477aa", "#cc6677", "#228833")
_LINES = ("-", "--", "-")  # x and y often lie on each other


def quality_figures(quality: Quality) -> dict[str, Figure]:
    """Return name → figure: ``resolution``, ``precision``, ``recording``; those that have something to show."""
    figures = {}
    if quality.frc is not None or quality.fsc is not None:
        figures["resolution"] = _resolution(quality)
    if quality.nena is not None or quality.sigma_nm is not None:
        figures["precision"] = _precision(quality)
    figures["recording"] = _recording(quality)
    return figures


def _resolution(quality: Quality) -> Figure:
    shown = [(name, one) for name, one in (("ring", quality.frc), ("shell", quality.fsc)) if one is not None]
    figure = new_figure((4.5 * len(shown), 3.3))
    for axes, (name, one) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        _draw_correlation(axes, one)
        result = "no resolution" if one.resolution_nm is None else f"{one.resolution_nm:.1f} nm"
        axes.set_title(f"Fourier {name} correlation: {result}")
    return figure


def _draw_correlation(axes: Any, one: RingCorrelation) -> None:
    per_um = 1000 * one.frequency_per_nm
    axes.plot(per_um, one.correlation, color="0.75", linewidth=0.8)
    axes.plot(per_um, one.smooth, color=_COLOURS[0])
    axes.axhline(THRESHOLD, color="0.4", linewidth=0.8, linestyle="--")
    axes.text(0.985 * per_um[-1], THRESHOLD + 0.02, "1/7", ha="right", color="0.4", fontsize=8)
    if one.resolution_nm is not None:
        axes.axvline(1000 / one.resolution_nm, color=_COLOURS[1], linewidth=0.8)
    axes.set(xlabel="spatial frequency (1/µm)", ylabel="correlation", ylim=(-0.1, 1.05), xlim=(0, per_um[-1]))
    axes.grid(alpha=0.3)


def _precision(quality: Quality) -> Figure:
    nena, sigma_nm = quality.nena, quality.sigma_nm
    shown = [one is not None for one in (sigma_nm, nena)]
    figure = new_figure((4.5 * sum(shown), 3.3))
    panels = iter(figure.subplots(1, sum(shown), squeeze=False)[0])
    if sigma_nm is not None:
        stated = next(panels)
        known = sigma_nm[:, np.isfinite(sigma_nm).all(axis=0)]
        top = float(np.percentile(known, 99))
        for axis, name in enumerate("xyz"[: known.shape[1]]):
            count, edges = np.histogram(known[:, axis], 60, range=(0, top))
            middle = (edges[1:] + edges[:-1]) / 2
            stated.plot(middle, count, _LINES[axis], color=_COLOURS[axis], label=_label(name, quality.metrics))
        stated.set(xlabel="stated uncertainty (nm)", ylabel="molecules", xlim=(0, top), title="precision as stated")
        stated.set_ylim(0, 1.35 * stated.get_ylim()[1])  # room for the legend
        stated.legend(frameon=False, fontsize=8)
        stated.grid(alpha=0.3)
    if nena is not None:
        neighbours = next(panels)
        width = nena.distance_nm[1] - nena.distance_nm[0]
        neighbours.bar(nena.distance_nm, nena.count, width, color="0.8")
        neighbours.plot(nena.distance_nm, nena.fit, color=_COLOURS[1])
        neighbours.set(xlabel="distance to the nearest in the next frame (nm)", ylabel="pairs")
        neighbours.set_title(f"nearest neighbours (NeNA): σ = {nena.sigma_nm:.1f} nm")
    return figure


def _label(axis: str, metrics: dict[str, Any]) -> str:
    """Return an axis with its median, and with how much larger the measured scatter is, where that is known."""
    text = f"{axis}: median {metrics['stated_sigma_nm'][axis]:.1f} nm"
    ratio = (metrics["measured_over_stated_sigma"] or {}).get(axis)
    return text if ratio is None else f"{text}, measured ÷ stated {ratio:.2f}"


def _recording(quality: Quality) -> Figure:
    over_time = quality.over_time
    count = 1 if over_time.photons is None else 2
    figure = new_figure((4.5 * count, 3.0))
    panels = figure.subplots(1, count, squeeze=False)[0]
    panels[0].plot(over_time.frame, over_time.per_frame, ".", color=_COLOURS[0])
    if over_time.fit is not None:
        panels[0].plot(over_time.frame, over_time.fit, color=_COLOURS[1])
        panels[0].set_title(f"bleaching: falls to 1/e in {over_time.lifetime_frames:.0f} frames")
    panels[0].set(xlabel="frame", ylabel="molecules per frame", ylim=_from_zero(over_time.per_frame))
    if over_time.photons is not None:
        panels[1].plot(over_time.frame, over_time.photons, ".", color=_COLOURS[2])
        panels[1].set(xlabel="frame", ylabel="median photons of a molecule", ylim=_from_zero(over_time.photons))
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure


def _from_zero(values: np.ndarray) -> tuple[float, float]:
    """Return limits of an axis that begins at 0 and leaves room above the largest value."""
    known = values[np.isfinite(values)]
    return 0.0, 1.1 * float(known.max(initial=0)) or 1.0
