"""The job of `ds3d drift`: measure a recording's drift from its molecules, and correct it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import whole_outputs
from ds3d_tf.common.optional import require
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import DriftOptions

if TYPE_CHECKING:
    from ds3d_tf.postprocessing.drift.curve import DriftCurve
    from ds3d_tf.postprocessing.molecules.molecules import Molecules


@dataclass(frozen=True)
class CorrectedTable:
    """What was written; ``total_nm`` is the displacement of the last frame (x, y, z), ``range_nm`` what it covered."""

    table: Path
    curve: Path
    figure: Path
    method: str
    total_nm: tuple[float, float, float]
    range_nm: tuple[float, float, float]

    def summary(self) -> str:
        """Return method, drift and files, a few lines."""
        total, covered = (", ".join(f"{value:.0f}" for value in one) for one in (self.total_nm, self.range_nm))
        lines = [f"{self.method}: drift to the last frame in x, y, z: {total} nm (range {covered} nm)"]
        lines.append(f"curve: {self.curve}, figure: {self.figure}")
        lines.append(f"table: {self.table}")
        return "\n".join(lines)


def companions(out: Path) -> tuple[Path, Path]:
    """Return the names of the curve and the figure that belong to a corrected table."""
    return out.with_name(f"{out.stem}_drift.csv"), out.with_name(f"{out.stem}_drift.png")


@takes_options(DriftOptions)
def drift(
    molecules: str | Path,
    out: str | Path,
    options: DriftOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> CorrectedTable:
    """Measure the drift of a recording, or take a known curve, and write the corrected table, the curve and a figure.

    Args:
        molecules: table, in any form that ``read_molecules`` reads.
        out: table to write; beside it come NAME_drift.csv and NAME_drift.png.
        options: see :class:`~ds3d_tf.options.DriftOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier table with its curve and figure.
        progress: told how far the measurement is.

    Raises InputError for a table, curve, option or output that cannot be used.
    """
    from ds3d_tf.postprocessing.molecules.writing import refuse_existing_table, table_companions

    out = refuse_existing_table(out, overwrite)
    curve_file, figure = companions(out)
    if options.curve is not None and options.curve.absolute() == curve_file.absolute():
        raise InputError(f"{argument('curve')} {options.curve}: the corrected table's own curve gets this name")
    if options.method == "comet":
        require(f"{argument('method')} comet", "post", "comet")

    import numpy as np

    from ds3d_tf.postprocessing.drift.curve import read_drift, write_drift
    from ds3d_tf.postprocessing.drift.figure import draw_drift
    from ds3d_tf.postprocessing.molecules.molecules import check_one_recording
    from ds3d_tf.postprocessing.molecules.reading import read_molecules

    known = read_drift(options.curve) if options.curve is not None else None
    table = read_molecules(molecules, camera_pixel_nm=options.camera_pixel_nm)
    check_one_recording(table, "drift")
    found = known or _measured(table, options, progress)
    with whole_outputs(out, [curve_file, figure, *table_companions(out)], overwrite) as folder:
        found.correct(table).save(folder / out.name)
        write_drift(found, folder / curve_file.name)
        draw_drift(found, folder / figure.name, has_z=table.has_z)
    total, covered = found.xyz_nm[-1].tolist(), np.ptp(found.xyz_nm, axis=0).tolist()
    return CorrectedTable(Path(out), curve_file, figure, found.method, tuple(total), tuple(covered))


def _measured(table: Molecules, options: DriftOptions, progress: Progress) -> DriftCurve:
    from ds3d_tf.common.optional import is_installed
    from ds3d_tf.postprocessing.drift.comet import drift_by_comet
    from ds3d_tf.postprocessing.drift.correlation import drift_by_correlation
    from ds3d_tf.postprocessing.drift.fiducials import drift_by_fiducials

    method = options.method
    if method == "auto":
        method = "comet" if is_installed("comet") else "correlation"
    if method == "fiducials":
        return drift_by_fiducials(table, options.window_frames, progress)[0]
    if method == "comet":
        return drift_by_comet(table, options.window_frames, options.max_drift_nm, options.seed, progress)
    return drift_by_correlation(table, options.window_frames, options.max_drift_nm, progress)
