"""What grouping does to the precision, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.common.plotting import new_figure
from ds3d_tf.postprocessing.grouping.group import Grouped, distances_over_stated
from ds3d_tf.postprocessing.molecules.molecules import Molecules

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#4477aa", "#cc6677", "#228833")
_FAR = 4.5  # standard deviations


def group_figure(detections: Molecules, grouped: Grouped) -> Figure | None:
    """Return a figure of uncertainties before and after, and of the scatter in groups; None without uncertainties.

    Args:
        detections: the table before grouping.
        grouped: what became of it.
    """
    if not detections.has_uncertainty:
        return None
    before, after = detections.sigma_nm("group"), grouped.molecules.sigma_nm("group")
    axes = [axis for axis in range(3) if np.isfinite(before[:, axis]).all()]
    figure = new_figure((9, 3.3))
    precision, scatter = figure.subplots(1, 2)
    top = float(np.percentile(before[:, axes], 99))
    edges = np.linspace(0, top, 61)
    distances = distances_over_stated(detections, grouped.group)
    expected = np.linspace(-_FAR, _FAR, 181)
    for axis in axes:
        for sigma_nm, line, when in ((before, ":", "detections"), (after, "-", "molecules")):
            share = np.histogram(sigma_nm[:, axis], edges)[0] / len(sigma_nm)
            label = f"{'xyz'[axis]}, {when}: median {np.median(sigma_nm[:, axis]):.1f} nm"
            precision.plot((edges[1:] + edges[:-1]) / 2, share, line, color=_COLOURS[axis], label=label)
        known = distances[:, axis][np.isfinite(distances[:, axis])]
        label = f"{'xyz'[axis]}: measured ÷ stated {grouped.measured_over_stated[axis]:.2f}"
        if len(known):
            density, edges_far = np.histogram(known, 60, (-_FAR, _FAR), density=True)
            scatter.plot((edges_far[1:] + edges_far[:-1]) / 2, density, color=_COLOURS[axis], label=label)
    scatter.plot(expected, np.exp(-(expected**2) / 2) / np.sqrt(2 * np.pi), "k--", linewidth=0.8, label="as stated")
    precision.set(xlabel="uncertainty (nm)", ylabel="share of all", xlim=(0, top), ylim=(0, None))
    scatter.set_ylim(0, 0.56)  # room for the legend
    scatter.set(xlabel="distance to the group's mean (stated uncertainties)", ylabel="density", xlim=(-_FAR, _FAR))
    for one in (precision, scatter):
        one.legend(frameon=False, fontsize=7)
        one.grid(alpha=0.3)
    return figure
