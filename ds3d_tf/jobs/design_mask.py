"""The job of tools/design_mask.py: the mask of smallest mean Cramér–Rao bound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from rich.progress import Progress

CURVE_HEIGHTS = 41
DESIGNED = "designed"


def design_mask(
    setup: Setup,
    out: Path,
    *,
    photons: float | None = None,
    background: float | None = None,
    read_noise: float | None = None,
    blur_sigma_px: float | None = None,
    lowest_mode: int = 4,
    highest_mode: int = 55,
    heights: int = 17,
    starts: int = 6,
    steps: int = 400,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """Design the mask of a setup's depth range and write it, with a record and a figure, into the folder ``out``.

    What is not given (None) comes from the setup: mean photons and background (counts a pixel), read noise (counts)
    and blur (pixels). The setup's own mask is only compared with.

    Returns mask → figures of its bound (nm), the setup's own first.

    Raises InputError for a number out of range, a mask that cannot be read, or an output that exists.
    """
    out = check_folder(out, overwrite, "design-mask")
    for name, number, least in (
        ("lowest", lowest_mode, 4),
        ("highest", highest_mode, lowest_mode),
        ("heights", heights, 2),
        ("starts", starts, 1),
        ("steps", steps, 1),
        ("seed", seed, 0),
    ):
        if number < least:
            raise InputError(f"--{name} {number}: expected at least {least}")
    given = {"photons": photons, "background": background, "read-noise": read_noise, "blur": blur_sigma_px}
    for name, value in given.items():
        if value is not None and not (value > 0 or (value == 0 and name in ("background", "read-noise"))):
            raise InputError(f"--{name} {value:g}: expected a positive number")

    from ds3d_tf.optics.crlb_curve import bound_over_z, typical_conditions
    from ds3d_tf.optics.design import DesignOptions, design
    from ds3d_tf.optics.design_files import SHOWN_HEIGHTS, bound_figures, write_design
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer

    conditions = typical_conditions(
        setup, photons=photons, background=background, read_noise=read_noise, blur_sigma_px=blur_sigma_px
    )
    options = DesignOptions(
        lowest_mode=lowest_mode, highest_mode=highest_mode, heights=heights, starts=starts, steps=steps, seed=seed
    )
    own_mask = load_mask(setup)
    most = options.starts * options.start_steps + options.steps
    task = progress.add_task("designing", total=most) if progress else None

    def show(step: int, value: float) -> None:
        if progress and task is not None:
            progress.update(task, completed=step, description=f"designing, mean bound {value:.2f} nm")

    designed = design(setup, conditions, options, progress=show)
    if progress and task is not None:
        progress.update(task, completed=most)
    volume = setup.volume
    z_um = np.linspace(volume.z_min_um, volume.z_max_um, CURVE_HEIGHTS)
    renderer = exact_renderer(setup.optics, volume, designed.mask_rad)
    bounds = {
        setup.mask.source: bound_over_z(exact_renderer(setup.optics, volume, own_mask), z_um, conditions),
        DESIGNED: bound_over_z(renderer, z_um, conditions),
    }
    shown = np.linspace(volume.z_min_um, volume.z_max_um, SHOWN_HEIGHTS)
    ones = np.ones(SHOWN_HEIGHTS)
    at = np.stack([0 * shown, 0 * shown, shown], axis=1)
    images = renderer.psf(at, conditions.photons * ones, conditions.blur_sigma_px * ones).numpy()
    with output_folder(out, overwrite, "design-mask") as folder:
        write_design(folder, setup, conditions, options, designed, z_um, bounds, images)
    return {name: bound_figures(bound) for name, bound in bounds.items()}
