"""The job of tools/crlb.py: the Cramér–Rao bound over z of a setup's masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import refuse_existing
from ds3d_tf.setup import Setup

SHOWN_HEIGHTS = 7


def crlb(
    setup: Setup,
    out: Path,
    *,
    photons: float | None = None,
    background: float | None = None,
    read_noise: float | None = None,
    blur_sigma_px: float | None = None,
    heights: int = 41,
    compare: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, tuple[float, float]]:
    """Write the figure ``out`` and, beside it, a CSV of the bound of the setup's mask over its depth range.

    What is not given (None) comes from the setup: mean photons and background (counts a pixel), read noise (counts)
    and blur (pixels). ``compare`` names further masks, as ``mask.source`` does, to draw beside it.

    Returns mask → (lateral, axial) bound, root mean square over the heights, nm.

    Raises InputError for a number out of range, a mask that cannot be read, or an output that exists.
    """
    out = refuse_existing(out, overwrite)
    table = refuse_existing(out.with_suffix(".csv"), overwrite)
    if heights < 2:
        raise InputError(f"--heights {heights}: expected at least 2")
    given = {"photons": photons, "background": background, "read-noise": read_noise, "blur": blur_sigma_px}
    for name, value in given.items():
        if value is not None and not (value > 0 or (value == 0 and name in ("background", "read-noise"))):
            raise InputError(f"--{name} {value:g}: expected a positive number")

    from ds3d_tf.optics.crlb_curve import bound_over_z, draw_curves, root_mean_square, typical_conditions, write_curve
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer

    conditions = typical_conditions(
        setup, photons=photons, background=background, read_noise=read_noise, blur_sigma_px=blur_sigma_px
    )
    z_um = np.linspace(setup.volume.z_min_um, setup.volume.z_max_um, heights)
    bounds, images = {}, None
    for source in dict.fromkeys([setup.mask.source, *compare]):
        variant = setup if source == setup.mask.source else setup.replace({"mask.source": source})
        renderer = exact_renderer(variant.optics, variant.volume, load_mask(variant))
        bounds[source] = bound_over_z(renderer, z_um, conditions)
        if images is None:
            shown = np.linspace(z_um[0], z_um[-1], SHOWN_HEIGHTS)
            ones = np.ones(SHOWN_HEIGHTS)
            images = renderer.psf(
                np.stack([0 * shown, 0 * shown, shown], axis=1),
                conditions.photons * ones,
                conditions.blur_sigma_px * ones,
            ).numpy()
    title = (
        f"{setup.name}: Cramér–Rao bound at {conditions.photons:.0f} photons, background {conditions.background:.3g}, "
        f"read noise {conditions.read_noise:.3g} counts"
    )
    assert images is not None
    draw_curves(out, z_um, bounds, images, title)
    write_curve(table, z_um, bounds[setup.mask.source])
    return {name: (root_mean_square(b.lateral_nm), root_mean_square(b.z_nm)) for name, b in bounds.items()}
