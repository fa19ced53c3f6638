"""What a mask's design leaves behind: the masks, a record, a setup and a figure."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.plotting import scale_bar
from ds3d_tf.optics.crlb import LocalizationBound
from ds3d_tf.optics.crlb_curve import Conditions, root_mean_square
from ds3d_tf.optics.design import DesignedMask
from ds3d_tf.options import DesignOptions
from ds3d_tf.setup import Setup
from ds3d_tf.setup.sections import OpticsSection

SHOWN_HEIGHTS = 9


def bound_figures(bound: LocalizationBound) -> dict[str, float]:
    """Return a curve in numbers: means of x, y, z and of all three, and root mean squares as errors are given, nm."""
    means = {f"mean_{axis}_nm": float(getattr(bound, f"{axis}_nm").mean()) for axis in "xyz"}
    figures = {
        "mean_nm": float(np.mean(list(means.values()))),
        **means,
        "rms_lateral_nm": root_mean_square(bound.lateral_nm),
        "rms_axial_nm": root_mean_square(bound.z_nm),
        "worst_lateral_nm": float(bound.lateral_nm.max()),
        "worst_axial_nm": float(bound.z_nm.max()),
    }
    return {name: round(value, 3) for name, value in figures.items()}


def designed_setup(setup: Setup, designed: DesignedMask) -> Setup:
    """Return the setup with the designed mask, which it carries as ``mask.npy``."""
    changes = {"name": f"{setup.name}, designed mask", "mask.learn": False}
    return setup.with_mask(designed.mask_rad).replace(changes)


def design_record(
    setup: Setup,
    conditions: Conditions,
    options: DesignOptions,
    designed: DesignedMask,
    bounds: Mapping[str, LocalizationBound],
) -> dict[str, Any]:
    """Return how a mask was made and what it reaches, as plain values for a YAML file.

    ``bounds`` holds the curves of the masks compared, by name.
    """
    values = setup.model_dump(mode="json")
    return {
        "setup": setup.name,
        "optics": values["optics"],
        "volume": values["volume"],
        "mask_size_px": setup.mask.size_px,
        "conditions": {k: v for k, v in asdict(conditions).items() if k != "efficiency" or v != 1},
        "options": asdict(options),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("ds3d-tf", "tensorflow", "scipy", "numpy")},
        },
        "steps": designed.steps,
        "start_bounds_nm": [round(value, 3) for value in designed.start_bounds_nm],
        "bounds": {name: bound_figures(bound) for name, bound in bounds.items()},
        "design_wavelength_um": setup.optics.wavelength_um,
        "zernike_rad": designed.zernike_rad,
    }


def write_design(
    folder: Path,
    setup: Setup,
    conditions: Conditions,
    options: DesignOptions,
    designed: DesignedMask,
    z_um: np.ndarray,
    bounds: Mapping[str, LocalizationBound],
    images: np.ndarray,
) -> None:
    """Write mask.mat (variable ``mask``), mask.npy, setup.yaml, design.yaml and design.png into ``folder``.

    Args:
        folder: an existing folder.
        setup: the setup designed for.
        conditions: of the emitter.
        options: of the search.
        designed: its result.
        z_um: float ``[E]``, z positions of the bounds, µm.
        bounds: name → bound at these z positions; the designed mask's among them.
        images: float ``[K, H, W]``, the designed mask's emitter at K z positions spread evenly over ``z_um``, counts.
    """
    import yaml
    from scipy.io import savemat

    savemat(folder / "mask.mat", {"mask": designed.mask_rad})
    designed_setup(setup, designed).save(folder / "setup.yaml")
    record = design_record(setup, conditions, options, designed, bounds)
    (folder / "design.yaml").write_text(yaml.safe_dump(record, sort_keys=False, width=100), encoding="utf-8")
    title = f"{setup.name}: mask of smallest mean bound"
    draw_design(folder / "design.png", title, setup.optics, conditions, designed.mask_rad, z_um, bounds, images)


def show_mask(panel: Any, mask_rad: np.ndarray, optics: OpticsSection) -> Any:
    """Draw a mask, wrapped, as far as the objective's pupil goes; return what matplotlib's ``imshow`` does.

    Args:
        panel: matplotlib axes.
        mask_rad: float ``[N, N]`` (rows along y, columns along x), rad.
        optics: the setup's optics section.
    """
    centre, half = (len(mask_rad) - 1) / 2, min(0.53 * optics.pupil_diameter_px, len(mask_rad) / 2)
    away = np.arange(len(mask_rad)) - centre
    inside = np.hypot(away[:, None], away) < optics.pupil_diameter_px / 2
    wrapped = np.where(inside, np.angle(np.exp(1j * mask_rad)), np.nan)
    shown = panel.imshow(wrapped, cmap="twilight", vmin=-np.pi, vmax=np.pi, interpolation="nearest")
    panel.set(xlim=(centre - half, centre + half), ylim=(centre + half, centre - half))
    panel.set_axis_off()
    return shown


def draw_design(
    path: Path,
    title: str,
    optics: OpticsSection,
    conditions: Conditions,
    mask_rad: np.ndarray,
    z_um: np.ndarray,
    bounds: Mapping[str, LocalizationBound],
    images: np.ndarray,
) -> None:
    """Draw a mask, its emitter over z, and the bounds of all masks compared, as a PNG.

    Args:
        path: the PNG to write.
        title: what is shown, without the conditions.
        optics: the setup's optics section.
        conditions: of the emitter.
        mask_rad: float ``[N, N]``, rad.
        z_um: float ``[E]``, z positions of the bounds, µm.
        bounds: name → bound at these z positions.
        images: float ``[K, H, W]``, the mask's emitter at K z positions spread evenly over ``z_um``, counts.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.6), layout="constrained")
    figure.suptitle(
        f"{title}; bounds at {conditions.photons:.0f} photons, background {conditions.background:.3g}, "
        f"read noise {conditions.read_noise:.3g} counts",
        fontsize=10,
    )
    upper, lower = figure.subfigures(2, 1, height_ratios=[2.4, 1]).flat  # type: ignore[union-attr]
    phase, *panels = upper.subplots(1, 4)
    shown = show_mask(phase, mask_rad, optics)
    phase.set_title("phase mask (rad, wrapped)", fontsize=9)
    bar = upper.colorbar(shown, ax=phase, fraction=0.046)
    bar.set_ticks([-np.pi, 0, np.pi], labels=["-π", "0", "π"])
    for panel, axis in zip(panels, "xyz", strict=True):
        for name, bound in bounds.items():
            panel.plot(z_um, getattr(bound, f"{axis}_nm"), label=name)
        # A flat mask's bound has no limit at the ends of a deep range; it must not flatten the other curves.
        top = 3 * min(getattr(bound, f"{axis}_nm").max() for bound in bounds.values())
        most = max(getattr(bound, f"{axis}_nm").max() for bound in bounds.values())
        means = ", ".join(f"{getattr(bound, f'{axis}_nm').mean():.1f}" for bound in bounds.values())
        panel.set(
            xlabel="z above the coverslip (µm)",
            title=f"bound on {axis} (nm): mean {means}",
            ylim=(0, 1.05 * min(top, most)),
        )
        panel.title.set_fontsize(9)
        panel.grid(alpha=0.3)
    upper.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(bounds), frameon=False)
    shown_um = np.linspace(np.min(z_um), np.max(z_um), len(images))
    for panel, image, z in zip(lower.subplots(1, len(images)), images, shown_um, strict=True):
        panel.imshow(image, cmap="inferno", vmin=0)
        panel.set_title(f"{z:.2f} µm", fontsize=8)
        panel.set_axis_off()
        scale_bar(panel, image.shape[1] * optics.pixel_um, image.shape[0] * optics.pixel_um, 1 / optics.pixel_um)
    lower.supxlabel("images of an emitter at these z positions, each scaled to its own peak", fontsize=8)
    figure.savefig(path, format="png", dpi=130)
