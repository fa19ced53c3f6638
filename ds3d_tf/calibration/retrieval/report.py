"""What phase retrieval leaves behind: masks, a report, a setup and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.calibration.retrieval.options import RetrievalOptions, RetrievedMask
from ds3d_tf.calibration.retrieval.stack_files import BeadStack
from ds3d_tf.calibration.retrieval.verdict import GOOD_CORRELATION, LOWEST_CORRELATION, Verdict
from ds3d_tf.common.plotting import scale_bar
from ds3d_tf.optics.design_files import show_mask
from ds3d_tf.setup import Setup

SHOWN_SLICES = 6


def retrieved_setup(setup: Setup, result: RetrievedMask) -> Setup:
    """Return the setup with the retrieved mask, blur and focus offset in it; it carries the mask as ``mask.npy``."""
    blur = result.blur_sigma_px
    return setup.with_mask(result.mask_rad).replace(
        {
            "name": f"{setup.name}, retrieved mask",
            "mask.learn": False,
            "volume.focus_um": round(setup.volume.focus_um + result.focus_offset_um, 4),
            "blur.sigma_range_px": [round(0.9 * blur, 3), round(1.1 * blur, 3)],
        }
    )


def retrieval_report(
    stack: BeadStack,
    setup: Setup,
    bead_height_um: float,
    options: RetrievalOptions,
    result: RetrievedMask,
    verdict: Verdict,
) -> dict[str, Any]:
    """Return what was estimated, as plain numbers for a YAML file."""

    def mean(chosen: np.ndarray) -> float | None:
        return round(float(result.correlation[chosen].mean()), 5) if chosen.any() else None

    return {
        "beads": stack.where,
        "verdict": verdict.word,
        "what_is_wrong": [*verdict.failures, *verdict.remarks],
        "model": setup.optics.model,
        "polarization": setup.optics.polarization,
        "likelihood": options.likelihood,
        "bead_height_um": bead_height_um,
        "zernike_start": options.zernike_terms,
        "seed": options.seed,
        "steps": result.steps,
        "misfit_per_pixel": round(result.misfit, 6),
        "blur_sigma_px": round(result.blur_sigma_px, 4),
        "offset_um": dict(zip("xy", result.offset_um.round(5).tolist(), strict=True)),
        "drift_um_per_um_of_focus": dict(zip("xy", result.drift_um_per_um.round(6).tolist(), strict=True)),
        "focus_offset_um": round(result.focus_offset_um, 5),
        "best_scale_of_focus_positions": round(result.focus_scale, 3),
        "correlation": {"fitted": mean(result.fitted), "left_out": mean(~result.fitted)},
        "slices": [
            {
                "slice": int(stack.numbers[i]),
                "nfp_um": round(float(stack.nfp_um[i]), 5),
                "fitted": bool(result.fitted[i]),
                "signal": round(float(result.signal[i]), 1),
                "background": round(float(result.background[i]), 2),
                "correlation": round(float(result.correlation[i]), 5),
            }
            for i in range(len(stack.numbers))
        ],
    }


def write_retrieval(
    folder: Path,
    stack: BeadStack,
    setup: Setup,
    bead_height_um: float,
    options: RetrievalOptions,
    result: RetrievedMask,
    verdict: Verdict,
) -> None:
    """Write mask.mat (variable ``mask``), mask.npy, setup.yaml, retrieval.yaml and retrieval.png into ``folder``."""
    import yaml
    from scipy.io import savemat

    savemat(folder / "mask.mat", {"mask": result.mask_rad})
    retrieved_setup(setup, result).save(folder / "setup.yaml")
    report = retrieval_report(stack, setup, bead_height_um, options, result, verdict)
    (folder / "retrieval.yaml").write_text(yaml.safe_dump(report, sort_keys=False, width=100), encoding="utf-8")
    draw_retrieval(folder / "retrieval.png", stack, setup, result)


def draw_retrieval(path: Path, stack: BeadStack, setup: Setup, result: RetrievedMask) -> None:
    """Draw the mask, slices with their model and residual, and the correlation of every slice, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6), layout="constrained")
    kind: str = setup.optics.model
    if kind == "vectorial":
        kind += f", polarization {setup.optics.polarization}"
    left_out = "" if result.fitted.all() else f", {result.correlation[~result.fitted].mean():.4f} of slices left out"
    figure.suptitle(
        f"Phase retrieval ({kind}): mean correlation {result.correlation[result.fitted].mean():.4f} of fitted "
        f"slices{left_out}; blur {result.blur_sigma_px:.2f} px, focus offset {1000 * result.focus_offset_um:+.0f} nm"
    )
    left, right = figure.subfigures(1, 2, width_ratios=[1, 3]).flat  # type: ignore[union-attr]
    _draw_mask(left, stack, setup, result)
    _draw_slices(right, stack, result, setup.optics.pixel_um)
    figure.savefig(path, format="png", dpi=130)


def _draw_mask(figure: Any, stack: BeadStack, setup: Setup, result: RetrievedMask) -> None:
    upper, middle, lower = figure.subplots(3, 1, height_ratios=[1.9, 1, 1])
    # Where no light passes, the mask is 0.
    shown = show_mask(upper, np.where(result.mask_rad == 0, np.nan, result.mask_rad), setup.optics)
    bar = figure.colorbar(shown, ax=upper, ticks=[-np.pi, 0, np.pi], shrink=0.8)
    bar.ax.set_yticklabels(["-π", "0", "π"])
    upper.set_title("phase mask (rad, wrapped)", fontsize=9)
    for chosen, colour, label in ((result.fitted, "C0", "fitted"), (~result.fitted, "C3", "left out")):
        if chosen.any():
            middle.plot(stack.nfp_um[chosen], result.correlation[chosen], "o", ms=3.5, color=colour, label=label)
    middle.axhline(GOOD_CORRELATION, color="C2", linestyle="--", linewidth=1, label=f"good: {GOOD_CORRELATION}")
    middle.axhline(LOWEST_CORRELATION, color="C1", linestyle=":", linewidth=1, label=f"failed: {LOWEST_CORRELATION}")
    lowest = min(float(result.correlation.min()) - 0.02, LOWEST_CORRELATION - 0.06)
    middle.set(xlabel="focus position (µm)", ylabel="correlation", ylim=(lowest, 1.0))
    # Above the panel, where it hides no slice.
    middle.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=8)
    lower.plot(stack.nfp_um, result.signal / result.signal.max(), "C0", label="signal")
    lower.plot(stack.nfp_um, result.background / result.background.max(), "C1", label="background")
    lower.set(xlabel="focus position (µm)", ylabel="share of the largest", ylim=(0, 1.1))
    lower.legend(frameon=False, fontsize=8)
    for panel in (middle, lower):
        panel.grid(alpha=0.3)


def _draw_slices(figure: Any, stack: BeadStack, result: RetrievedMask, pixel_um: float) -> None:
    order = np.argsort(stack.nfp_um)
    chosen = order[np.unique(np.linspace(0, len(order) - 1, SHOWN_SLICES).round().astype(int))]
    panels = figure.subplots(3, len(chosen), squeeze=False)
    for column, i in zip(panels.T, chosen, strict=True):
        background = result.background[i]
        top = max(float(np.percentile(stack.slices[i] - background, 99.8)), 1e-9)
        # In shares of the slice's brightest pixels, so that one colour bar goes for all slices.
        column[0].imshow((stack.slices[i] - background) / top, cmap="inferno", vmin=0, vmax=1)
        shown = column[1].imshow((result.images[i] - background) / top, cmap="inferno", vmin=0, vmax=1)
        rest = column[2].imshow((stack.slices[i] - result.images[i]) / top, cmap="RdBu_r", vmin=-0.2, vmax=0.2)
        scale_bar(column[0], stack.slices.shape[2] * pixel_um, stack.slices.shape[1] * pixel_um, 1 / pixel_um)
        state = "" if result.fitted[i] else "\nleft out"
        column[0].set_title(f"{stack.nfp_um[i]:.2f} µm\nr = {result.correlation[i]:.3f}{state}", fontsize=8)
        for panel in column:
            panel.set(xticks=[], yticks=[])
    for row, name in zip(panels, ("measured", "model", "measured - model"), strict=True):
        row[0].set_ylabel(name)
    figure.colorbar(shown, ax=panels[:2].ravel().tolist(), label="share of the slice's peak", shrink=0.7)
    bar = figure.colorbar(rest, ax=panels[2].tolist(), label="share of the peak", ticks=[-0.2, 0, 0.2])
    bar.ax.set_yticklabels(["-20 %", "0", "20 %"])
