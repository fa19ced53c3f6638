"""The job of `ds3d design-mask`: the mask of smallest mean Cramér–Rao bound."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import DesignMaskOptions, DesignOptions
from ds3d_tf.options.calibrate import ConditionOptions
from ds3d_tf.setup import Setup

CURVE_HEIGHTS = 41
DESIGNED = "designed"


@dataclass(frozen=True)
class MaskDesign:
    """The folder that was written, and mask → metrics of its bound (nm), the setup's own mask first."""

    folder: Path
    metrics: dict[str, dict[str, float]]

    def summary(self) -> str:
        """Return one line for each mask, and the folder."""
        lines = [
            f"{name}: mean bound {row['mean_nm']:.2f} nm (x {row['mean_x_nm']:.1f}, y {row['mean_y_nm']:.1f}, "
            f"z {row['mean_z_nm']:.1f}); rms lateral {row['rms_lateral_nm']:.1f}, axial {row['rms_axial_nm']:.1f} nm"
            for name, row in self.metrics.items()
        ]
        return "\n".join([*lines, f"designed mask: {self.folder}/"])


@takes_options(DesignMaskOptions)
def design_mask(
    setup: Setup,
    out: str | Path,
    options: DesignMaskOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> MaskDesign:
    """Design the mask of a setup's depth range and write it, with a record and a figure, into a folder.

    Args:
        setup: optics, depth range, and the conditions that the options leave open; its mask is only compared with.
        out: folder to write.
        options: see :class:`~ds3d_tf.options.DesignMaskOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier design.
        progress: told how many iterations are done.

    Raises InputError for a number out of range, a mask that cannot be read, or an output that exists.
    """
    out = check_folder(out, overwrite, "design-mask")

    from ds3d_tf.optics.crlb_curve import bound_over_z, typical_conditions
    from ds3d_tf.optics.design import design
    from ds3d_tf.optics.design_files import SHOWN_HEIGHTS, bound_figures, write_design
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer

    conditions = typical_conditions(setup, **asdict(options.part(ConditionOptions)))
    search = options.part(DesignOptions)
    own_mask = load_mask(setup)
    most = search.starts * search.start_steps + search.steps
    designed = design(
        setup,
        conditions,
        search,
        progress=lambda step, value: progress(f"designing, mean bound {value:.2f} nm", step, most),
    )
    progress(f"designing, mean bound {designed.mean_bound_nm:.2f} nm", most, most)
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
        write_design(folder, setup, conditions, search, designed, z_um, bounds, images)
    return MaskDesign(out, {name: bound_figures(bound) for name, bound in bounds.items()})
