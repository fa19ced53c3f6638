"""The job of `ds3d quality`: how good a table of molecules is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import QualityOptions

if TYPE_CHECKING:
    from ds3d_tf.postprocessing.quality.ring_correlation import RingCorrelation

METRICS = "metrics.json"


@dataclass(frozen=True)
class MeasuredQuality:
    """What was written and measured; ``metrics`` are those of metrics.json, lengths in nm."""

    folder: Path
    metrics: dict[str, Any]

    def summary(self) -> str:
        """Return the numbers that a person asks for first."""
        m = self.metrics
        lines = [f"{m['molecules']} molecules in {m['frames']} frames, {m['molecules_per_frame']:.3g} per frame"]
        if m["stated_sigma_nm"]:
            lines.append("median uncertainty: " + _by_axis(m["stated_sigma_nm"], ".1f") + " nm")
        if m["measured_over_stated_sigma"]:
            lines.append("measured ÷ stated: " + _by_axis(m["measured_over_stated_sigma"], ".2f"))
        for name, text in (
            ("nena_sigma_nm", "precision by nearest neighbours (NeNA)"),
            ("frc_resolution_nm", "resolution in x and y (FRC, 1/7)"),
            ("fsc_resolution_nm", "resolution in space (FSC, 1/7)"),
        ):
            if m[name] is not None:
                lines.append(f"{text}: {m[name]:.1f} nm")
        if m["grid_index"]:
            lines.append("grid index: " + _by_axis(m["grid_index"], ".3f"))
        if m["bleaching_lifetime_frames"] is not None:
            lines.append(f"bleaching: molecules per frame fall to 1/e in {m['bleaching_lifetime_frames']:.0f} frames")
        lines.append(f"metrics and figures: {self.folder}/")
        return "\n".join(lines)


@takes_options(QualityOptions)
def quality(
    molecules: str | Path,
    out: str | Path,
    options: QualityOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> MeasuredQuality:
    """Measure precision, resolution and density of a table; write metrics.json, curves and figures into a folder.

    Args:
        molecules: table, in any form that ``read_molecules`` reads.
        out: folder to write.
        options: see :class:`~ds3d_tf.options.QualityOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier output.
        progress: told how far the measurement is.

    Raises InputError for a table, option or output that cannot be used.
    """
    out = check_folder(out, overwrite, "quality")

    from ds3d_tf.common.plotting import save_figure
    from ds3d_tf.postprocessing.molecules.molecules import check_one_recording
    from ds3d_tf.postprocessing.molecules.reading import read_molecules
    from ds3d_tf.postprocessing.quality.figures import quality_figures
    from ds3d_tf.postprocessing.quality.measure import measure_quality

    table = read_molecules(molecules, camera_pixel_nm=options.camera_pixel_nm)
    check_one_recording(table, "quality")
    found = measure_quality(
        table,
        frc_pixel_nm=options.frc_pixel_nm,
        blocks=options.blocks,
        repeats=options.repeats,
        seed=options.seed,
        progress=progress,
    )
    with output_folder(out, overwrite, "quality") as folder:
        (folder / METRICS).write_text(json.dumps(found.metrics, indent=1) + "\n", encoding="utf-8")
        for name, curve in (("frc", found.frc), ("fsc", found.fsc)):
            if curve is not None:
                _write_curve(curve, folder / f"{name}.csv")
        for name, figure in quality_figures(found).items():
            save_figure(figure, folder / f"{name}.png")
    return MeasuredQuality(out, found.metrics)


def _write_curve(curve: RingCorrelation, path: Path) -> None:
    rows = zip(curve.frequency_per_nm, curve.correlation, curve.smooth, strict=True)
    lines = ["frequency [1/nm],correlation,running mean", *(f"{q:.7g},{c:.5f},{s:.5f}" for q, c, s in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _by_axis(values: dict[str, float], form: str) -> str:
    return ", ".join(f"{axis} {value:{form}}" for axis, value in values.items())
