"""Plots of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.plotting import depth_colours, depth_rings, frame_extent_um, new_figure, save_figure, scale_bar
from ds3d_tf.evaluation.comparison import Comparison
from ds3d_tf.evaluation.truth import FrameTruth
from ds3d_tf.setup import Setup
from ds3d_tf.setup.coordinates import table_origin_um

_COLOURS = {"jaccard": "#1b4f72", "precision": "#2e9e5b", "recall": "#d9822b"}
_LATERAL, _AXIAL = "#1b4f72", "#c0392b"


def plot_by_emitter_number(path: str | Path, metrics: Mapping[str, Any]) -> None:
    """Draw Jaccard, precision, recall and errors against the number of emitters in a frame.

    Raises InputError if the file cannot be written.
    """
    groups = metrics["by_emitter_number"]
    labels = [
        str(g["emitters_from"])
        if g["emitters_from"] == g["emitters_to"]
        else f"{g['emitters_from']}–{g['emitters_to']}"
        for g in groups
    ]
    _draw_groups(path, groups, labels, "emitters in a frame", metrics)


def plot_by_depth(path: str | Path, metrics: Mapping[str, Any]) -> None:
    """Draw Jaccard, precision, recall and errors against depth; raises InputError if the file cannot be written."""
    groups = metrics["by_depth"]
    lowest = min((group["z_from_um"] for group in groups), default=0.0)
    labels = [f"{(g['z_from_um'] + g['z_to_um']) / 2 - lowest:.2f}" for g in groups]
    _draw_groups(path, groups, labels, "z (µm)", metrics)


def plot_errors(path: str | Path, comparison: Comparison) -> None:
    """Draw histograms of the errors of all pairs along x, y and z; raises InputError if the file cannot be written."""
    figure = new_figure((11, 3.4))
    error = comparison.error_nm
    limit = comparison.tolerance_um * 1000
    for axes, name, values in zip(figure.subplots(1, 3, sharey=True), "xyz", error.T, strict=True):
        axes.hist(values, bins=np.linspace(-limit, limit, 41), color=_AXIAL if name == "z" else _LATERAL)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlabel(f"{name} found - {name} true (nm)")
        if len(values):
            axes.set_title(f"bias {values.mean():+.1f} nm, standard deviation {values.std():.1f} nm", fontsize=10)
    figure.axes[0].set_ylabel("pairs")
    save_figure(figure, path)


def plot_examples(
    path: str | Path,
    frames: Sequence[np.ndarray],
    truths: Sequence[FrameTruth],
    found_um: Sequence[np.ndarray],
    setup: Setup,
    names: Sequence[str],
) -> None:
    """Draw frames with their emitters (rings; thin if too faint to count) and localizations (crosses).

    Args:
        path: PNG file to write.
        frames: float ``[H, W]`` (row, column) each, counts.
        truths: emitters of each frame.
        found_um: float ``[M, 3]`` (x, y, z) each, µm.
        setup: the ``Setup`` of pixel size and depth range.
        names: title of each frame.

    Raises InputError if the file cannot be written.
    """
    columns = min(3, len(frames))
    rows = -(-len(frames) // columns)
    height, width = frames[0].shape
    figure = new_figure((4.6 * columns + 1.1, 4.6 * rows * height / width + 0.5), "compressed")
    colours = depth_colours(setup.volume.z_min_um, setup.volume.z_max_um)
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in panels[len(frames) :]:
        axes.set_axis_off()
    extent = frame_extent_um((height, width), setup.optics.pixel_um)
    origin_um = table_origin_um((height, width), setup)
    low, high = np.percentile(np.stack(frames), [1, 99.7])
    for axes, frame, truth, found, name in zip(panels, frames, truths, found_um, names, strict=False):
        shown = axes.imshow(
            frame, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent, interpolation="nearest"
        )
        scale_bar(axes, extent[1], extent[2])
        for required, line in ((True, 1.6), (False, 0.6)):
            emitters = truth.xyz_um[truth.labelled == required] + origin_um
            depth_rings(axes, emitters, colours, 90, line)
        found = np.reshape(found, (-1, 3)) + origin_um
        axes.scatter(*found[:, :2].T, s=40, c=colours.to_rgba(found[:, 2]), marker="x", linewidths=1.3)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("x (µm)")
    for axes in panels[::columns]:
        axes.set_ylabel("y (µm)")
    figure.colorbar(colours, ax=list(panels), label="z (µm)", fraction=0.03, pad=0.01)
    figure.colorbar(shown, ax=list(panels), label="counts (all frames alike)", fraction=0.03, pad=0.01)
    figure.suptitle("rings: true emitters   crosses: localizations", fontsize=10)
    save_figure(figure, path)


def plot_refinement(
    path: str | Path, comparison: Comparison, bound_nm: np.ndarray, sigma_um: np.ndarray, values: Mapping[str, Any]
) -> None:
    """Draw errors beside the Cramér–Rao bound, and the pulls: errors over stated uncertainties.

    Args:
        path: PNG file to write.
        comparison: emitters and refined localizations, matched; at least one pair.
        bound_nm: float64 ``[T, 3]`` (x, y, z), bounds of ``comparison.truth_um``, nm.
        sigma_um: float64 ``[M, 3]`` (x, y, z), stated standard deviations of ``comparison.found_um``, µm.
        values: the metrics of :func:`ds3d_tf.evaluation.refined.refined_metrics`.

    Raises InputError if the file cannot be written.
    """
    truth, found = comparison.pairs.T
    error_nm, pull = comparison.error_nm, comparison.error_nm / (1000 * sigma_um[found])
    figure = new_figure((12, 4))
    beside, spread = figure.subplots(1, 2, width_ratios=[1, 1.2])
    for axis, colour in zip(range(3), (_LATERAL, "#8e44ad", _AXIAL), strict=True):
        beside.scatter(
            bound_nm[truth, axis], np.abs(error_nm[:, axis]), s=6, alpha=0.5, color=colour, label="xyz"[axis]
        )
    limits = np.array([np.percentile(bound_nm[truth], 0.5) / 1.5, np.percentile(bound_nm[truth], 99.5) * 1.5])
    beside.plot(limits, limits, color="black", lw=1, label="error = bound")
    beside.set(
        xscale="log", yscale="log", xlim=limits, ylim=(limits[0] / 20, limits[1] * 5),
        xlabel="joint Cramér–Rao bound (nm)", ylabel="size of the error (nm)",
        title=f"RMSE ÷ bound: lateral {values['rmse_over_bound_lateral']:.2f}, "
        f"axial {values['rmse_over_bound_axial']:.2f}",
    )  # fmt: skip
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if limits[0] <= tick <= limits[1]]
    beside.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    beside.set_xticks([], minor=True)
    beside.legend(frameon=False)
    edges = np.linspace(-5, 5, 41)
    for axis, colour in zip(range(3), (_LATERAL, "#8e44ad", _AXIAL), strict=True):
        label = f"{'xyz'[axis]}: standard deviation {values['pull_sigma_' + 'xyz'[axis]]:.2f}"
        spread.hist(np.clip(pull[:, axis], -5, 5), edges, density=True, histtype="step", color=colour, label=label)
    middle = (edges[1:] + edges[:-1]) / 2
    spread.plot(middle, np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi), color="black", lw=1, label="as stated")
    spread.set(xlabel="error ÷ stated uncertainty", ylabel="density", title="pulls")
    spread.legend(frameon=False)
    for axes in (beside, spread):
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def _draw_groups(
    path: str | Path, groups: Sequence[Mapping[str, Any]], labels: list[str], what: str, whole: Mapping[str, Any]
) -> None:
    figure = new_figure((11, 4))
    shares, errors = figure.subplots(1, 2)
    places = np.arange(len(groups))

    def draw(axes: Any, key: str, label: str, colour: str) -> None:
        values = [np.nan if group[key] is None else group[key] for group in groups]
        axes.plot(places, values, "o-", color=colour, label=label)

    for key, colour in _COLOURS.items():
        draw(shares, key, key if key != "jaccard" else "Jaccard index", colour)
    draw(errors, "rmse_lateral_nm", "lateral", _LATERAL)
    draw(errors, "rmse_axial_nm", "axial", _AXIAL)
    shares.set(ylim=(0, 1.03), ylabel="share", title=f"all together: Jaccard index {whole['jaccard']:.3f}")
    errors.set(ylabel="root mean square error (nm)", title=_error_title(whole))
    errors.margins(y=0.1)
    errors.set_ylim(bottom=0)
    for axes in (shares, errors):
        axes.set_xticks(places, labels)
        axes.set_xlabel(what)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save_figure(figure, path)


def _error_title(whole: Mapping[str, Any]) -> str:
    if whole["rmse_lateral_nm"] is None:
        return "no pair"
    return f"all together: lateral {whole['rmse_lateral_nm']:.1f} nm, axial {whole['rmse_axial_nm']:.1f} nm"
