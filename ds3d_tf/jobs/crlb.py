"""The job of `ds3d crlb`: the Cramér–Rao bound over z of a setup's masks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ds3d_tf.common.files import refuse_existing
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import CrlbOptions
from ds3d_tf.options.calibrate import ConditionOptions
from ds3d_tf.setup import Setup

SHOWN_HEIGHTS = 7


@dataclass(frozen=True)
class MaskBounds:
    """The figure and the table that were written, and mask → (lateral, axial) bound, root mean square over z, nm."""

    figure: Path
    table: Path
    bounds_nm: dict[str, tuple[float, float]]

    def summary(self) -> str:
        """Return one line for each mask."""
        lines = [
            f"{name}: lateral {lateral:.1f} nm, axial {axial:.1f} nm (rms over z)"
            for name, (lateral, axial) in self.bounds_nm.items()
        ]
        return "\n".join([*lines, f"figure: {self.figure}", f"table: {self.table}"])


@takes_options(CrlbOptions)
def crlb(
    setup: Setup,
    out: str | Path,
    options: CrlbOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> MaskBounds:
    """Draw the Cramér–Rao bound of the setup's mask over its depth range, and write it as a table.

    Args:
        setup: optics, mask, depth range, and the conditions that the options leave open.
        out: PNG to write; the table is the CSV of the same name.
        options: see :class:`~ds3d_tf.options.CrlbOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace earlier files.
        progress: told how many masks are done.

    Raises InputError for a number out of range, a mask that cannot be read, or an output that exists.
    """
    out = refuse_existing(out, overwrite)
    table = refuse_existing(out.with_suffix(".csv"), overwrite)

    from ds3d_tf.optics.crlb_curve import bound_over_z, draw_curves, root_mean_square, typical_conditions, write_curve
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer

    conditions = typical_conditions(setup, **asdict(options.part(ConditionOptions)))
    z_um = np.linspace(setup.volume.z_min_um, setup.volume.z_max_um, options.z_positions)
    bounds, images = {}, None
    sources = list(dict.fromkeys([setup.mask.source, *options.compare]))
    for index, source in enumerate(sources):
        progress("bounds", index, len(sources))
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
    progress("bounds", len(sources), len(sources))
    title = (
        f"{setup.name}: Cramér–Rao bound at {conditions.photons:.0f} photons, background {conditions.background:.3g}, "
        f"read noise {conditions.read_noise:.3g} counts"
    )
    assert images is not None
    draw_curves(out, z_um, bounds, images, title, setup.optics.pixel_um)
    write_curve(table, z_um, bounds[setup.mask.source])
    rms_nm = {name: (root_mean_square(b.lateral_nm), root_mean_square(b.z_nm)) for name, b in bounds.items()}
    return MaskBounds(out, table, rms_nm)
