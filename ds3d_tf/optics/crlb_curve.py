"""The Cramér–Rao bound along z: its conditions taken from a setup, its figure and its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.files import whole_file
from ds3d_tf.common.plotting import scale_bar
from ds3d_tf.setup import Setup
from ds3d_tf.setup.camera_files import load_camera

if TYPE_CHECKING:
    from ds3d_tf.optics.crlb import LocalizationBound


@dataclass(frozen=True)
class Conditions:
    """What an emitter's precision depends on beside the optics.

    Attributes:
        photons: photons of the emitter.
        background: counts a pixel.
        read_noise: standard deviation, counts.
        blur_sigma_px: standard deviation, camera pixels.
        efficiency: share of the photons' information that the camera keeps, no unit.
    """

    photons: float
    background: float
    read_noise: float
    blur_sigma_px: float
    efficiency: float = 1.0


def typical_conditions(setup: Setup, **changes: float | None) -> Conditions:
    """Return the mean conditions of a ``Setup``, with those given (not None) instead.

    With a section `camera`, the read noise is that of the camera, here as photons; one that is given is taken to be in
    photoelectrons before any EM gain.

    A background and a read noise that are both 0 become 1 count of background: no camera is darker.
    """
    signal, background, noise = setup.signal, setup.background, setup.read_noise
    gamma = signal.distribution == "gamma"
    valley_peak = np.mean(background.valley_peak) * 1.25  # each end is drawn in [v, 1.5 v]
    values = {
        "photons": signal.gamma_shape * signal.gamma_scale if gamma else float(np.mean(signal.uniform_range)),
        "background": background.level if background.kind == "uniform" else float(valley_peak),
        "read_noise": 0.0 if noise.kind == "none" else float(np.mean(noise.sigma_range)),
        "blur_sigma_px": float(np.mean(setup.blur.sigma_range_px)),
    }
    camera = load_camera(setup)
    given = {name: value for name, value in changes.items() if value is not None}
    if camera is not None:
        camera = camera.typical()
        if "read_noise" in given:
            camera = replace(camera, read_noise_electrons=given.pop("read_noise") * camera.em_gain)
        values["read_noise"] = float(camera.read_noise_photons)
        values["background"] += camera.spurious_electrons / camera.quantum_efficiency
        values["efficiency"] = camera.efficiency
    values.update(given)
    if values["background"] + values["read_noise"] <= 0:
        values["background"] = 1.0
    return Conditions(**values)


def bound_over_z(renderer: Any, z_um: np.ndarray, conditions: Conditions) -> LocalizationBound:
    """Return the bound of lone emitters on the optical axis.

    Args:
        renderer: an exact renderer.
        z_um: float ``[E]``, z positions, µm.
        conditions: photons, background, read noise, blur.
    """
    from ds3d_tf.optics.crlb import localization_bound

    z_um = np.asarray(z_um, np.float64)
    return localization_bound(renderer, np.stack([0 * z_um, 0 * z_um, z_um], axis=1), **asdict(conditions))


def root_mean_square(values: np.ndarray) -> float:
    """Return sqrt(mean(v²)).

    Args:
        values: float ``[E]``, any unit.

    Returns:
        float, in that unit.
    """
    return float(np.sqrt(np.mean(np.square(values))))


def write_curve(path: str | Path, z_um: np.ndarray, bound: LocalizationBound) -> None:
    """Write the bound as CSV: z, x, y, lateral and axial in nm, photons, background.

    Args:
        path: the file to write.
        z_um: float ``[E]``, z positions, µm.
        bound: the bound at these z positions.

    Raises InputError if the file cannot be written.
    """
    import pandas as pd

    table = pd.DataFrame(
        {
            "z [nm]": 1000 * np.asarray(z_um),
            "x bound [nm]": bound.x_nm,
            "y bound [nm]": bound.y_nm,
            "lateral bound [nm]": bound.lateral_nm,
            "axial bound [nm]": bound.z_nm,
            "photon bound": bound.photons,
            "background bound": bound.background,
        }
    )
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def draw_curves(
    path: str | Path,
    z_um: np.ndarray,
    bounds: Mapping[str, LocalizationBound],
    images: np.ndarray,
    title: str,
    pixel_um: float,
) -> None:
    """Draw the bounds of one or several masks over z, above the first mask's images at some z positions.

    Args:
        path: the PNG to write.
        z_um: float ``[E]``, z positions of the bounds, µm.
        bounds: a name → its bound at these z positions.
        images: float ``[K, H, W]``, the first mask's emitter at K z positions spread evenly over ``z_um``, counts.
        title: what is shown.
        pixel_um: camera pixel in the sample, µm.

    Raises InputError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    upper, lower = figure.subfigures(2, 1, height_ratios=[2.6, 1]).flat  # type: ignore[union-attr]
    panels = upper.subplots(1, 3)
    for panel, axis in zip(panels, ("x", "y", "z"), strict=True):
        for name, bound in bounds.items():
            panel.plot(z_um, getattr(bound, f"{axis}_nm"), label=name)
        panel.set(xlabel="z above the coverslip (µm)", title=f"bound on {axis}")
        panel.set_ylim(0, 1.08 * max(getattr(bound, f"{axis}_nm").max() for bound in bounds.values()))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("standard deviation (nm)")
    panels[0].legend(frameon=False, fontsize=8)
    shown_um = np.linspace(np.min(z_um), np.max(z_um), len(images))
    for panel, image, z in zip(lower.subplots(1, len(images)), images, shown_um, strict=True):
        panel.imshow(image, cmap="inferno", vmin=0)
        panel.set_title(f"{z:.2f} µm", fontsize=8)
        panel.set_axis_off()
        scale_bar(panel, image.shape[1] * pixel_um, image.shape[0] * pixel_um, 1 / pixel_um)
    lower.supxlabel("images of an emitter at these z positions, each scaled to its own peak", fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=140)
