"""The job of `ds3d group`: one molecule over consecutive frames becomes one row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ds3d_tf.common.files import whole_outputs
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import GroupOptions


@dataclass(frozen=True)
class GroupedTable:
    """What was written.

    ``detections`` became ``molecules``. Medians of the stated uncertainties (x, y and z, nm) before and after, and the
    scatter within groups in units of them; None where the table has no uncertainties.
    """

    table: Path
    figure: Path | None
    detections: int
    molecules: int
    mean_frames_on: float
    sigma_before_nm: tuple[float, ...] | None
    sigma_after_nm: tuple[float, ...] | None
    measured_over_stated: tuple[float, ...] | None

    def summary(self) -> str:
        """Return what became of the detections and their precision, a few lines."""
        lines = [f"{self.detections} detections → {self.molecules} molecules, {self.mean_frames_on:.2f} frames each"]
        if self.sigma_before_nm and self.sigma_after_nm and self.measured_over_stated:
            before, after = (_listed(values, ".1f") for values in (self.sigma_before_nm, self.sigma_after_nm))
            lines.append(f"median uncertainty in x, y, z: {before} nm → {after} nm")
            ratio = _listed(self.measured_over_stated, ".2f")
            lines.append(f"scatter within groups ÷ stated uncertainty: {ratio}")
        if self.figure is not None:
            lines.append(f"figure: {self.figure}")
        lines.append(f"table: {self.table}")
        return "\n".join(lines)


def companion(out: Path) -> Path:
    """Return the name of the figure that belongs to a grouped table."""
    return out.with_name(f"{out.stem}_precision.png")


@takes_options(GroupOptions)
def group(
    molecules: str | Path,
    out: str | Path,
    options: GroupOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> GroupedTable:
    """Make one row of each molecule that is seen in consecutive frames.

    Args:
        molecules: table, in any form that ``read_molecules`` reads.
        out: table to write; beside it comes NAME_precision.png, if the table has uncertainties.
        options: see :class:`~ds3d_tf.options.GroupOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier table.
        progress: told how many detections are done.

    Raises InputError for a table, option or output that cannot be used.
    """
    from ds3d_tf.postprocessing.molecules.writing import refuse_existing_table, table_companions

    out = refuse_existing_table(out, overwrite)
    picture = companion(out)

    import numpy as np

    from ds3d_tf.common.plotting import save_figure
    from ds3d_tf.postprocessing.grouping.figure import group_figure
    from ds3d_tf.postprocessing.grouping.group import group_molecules
    from ds3d_tf.postprocessing.molecules.columns import FRAMES_ON
    from ds3d_tf.postprocessing.molecules.reading import read_molecules

    table = read_molecules(molecules, camera_pixel_nm=options.camera_pixel_nm)
    grouped = group_molecules(table, options.gap_frames, options.radius_sigmas, options.radius_nm, progress)
    result = grouped.molecules
    figure = group_figure(table, grouped)
    beside = [] if figure is None else [picture]
    with whole_outputs(out, [*beside, *table_companions(out)], overwrite) as folder:
        result.save(folder / out.name)
        if figure is not None:
            save_figure(figure, folder / picture.name)
    before = after = ratio = None
    if table.has_uncertainty:
        ratio = tuple(value for value in grouped.measured_over_stated if np.isfinite(value)) or None
        axes = 3 if np.isfinite(table.sigma_nm("group")[:, 2]).all() else 2
        before, after = (tuple(np.median(one.sigma_nm("group")[:, :axes], axis=0).tolist()) for one in (table, result))
    on = float(result.table[FRAMES_ON].mean())
    drawn = None if figure is None else picture
    return GroupedTable(Path(out), drawn, len(table), len(result), on, before, after, ratio)


def _listed(values: tuple[float, ...], form: str) -> str:
    return ", ".join(f"{value:{form}}" for value in values)
