"""The job of `ds3d report`: one HTML page about a table of molecules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import refuse_existing, whole_file
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import ReportOptions

if TYPE_CHECKING:
    from ds3d_tf.localization.localizer import Localizer
    from ds3d_tf.postprocessing.molecules.molecules import Molecules
    from ds3d_tf.postprocessing.report.frames import FramePanel

_STEPS = 4


@dataclass(frozen=True)
class WrittenReport:
    """What was written: the page, its size, and how many molecules it is about."""

    page: Path
    megabytes: float
    molecules: int

    def summary(self) -> str:
        """Return one line about the page."""
        return f"report on {self.molecules} molecules, {self.megabytes:.1f} MB: {self.page}"


@takes_options(ReportOptions)
def report(
    molecules: str | Path,
    out: str | Path,
    options: ReportOptions,
    *,
    commands: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> WrittenReport:
    """Write a report as one HTML page that needs no other file and no network.

    Args:
        molecules: table, in any form that ``read_molecules`` reads.
        out: .html file to write.
        options: see :class:`~ds3d_tf.options.ReportOptions`; its fields may be given as keywords instead.
        commands: the commands that made the table, to be listed.
        overwrite: whether to replace an earlier page.
        progress: told how many parts are done.

    Raises InputError for a table, recording, model, option or output that cannot be used.
    """
    out = refuse_existing(out, overwrite)
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{argument('out')} {out}: a page's name ends in .html")

    from ds3d_tf.common.machine import describe_machine
    from ds3d_tf.postprocessing.drift.curve import read_drift
    from ds3d_tf.postprocessing.drift.figure import drift_figure
    from ds3d_tf.postprocessing.molecules.molecules import check_one_recording
    from ds3d_tf.postprocessing.molecules.reading import read_molecules
    from ds3d_tf.postprocessing.pictures.picture import depth_limits
    from ds3d_tf.postprocessing.quality.figures import quality_figures
    from ds3d_tf.postprocessing.quality.measure import measure_quality
    from ds3d_tf.postprocessing.report.page_text import PageContent, make_page
    from ds3d_tf.postprocessing.report.views import picture_views, scatter_sample

    table = read_molecules(molecules, camera_pixel_nm=options.camera_pixel_nm)
    check_one_recording(table, "report")
    curve = read_drift(options.drift) if options.drift is not None else None
    localizer = _localizer(options.model)
    detections = table
    if options.detections is not None:
        detections = read_molecules(options.detections, camera_pixel_nm=options.camera_pixel_nm)
    progress("report", 0, _STEPS)
    panels = _panels(options, detections, localizer)
    progress("report", 1, _STEPS)
    quality = measure_quality(table, seed=options.seed)
    figures = [(name, "", figure) for name, figure in quality_figures(quality).items()]
    if curve is not None and options.drift is not None:
        figures.append(
            ("drift", f"Drift, already taken away ({Path(options.drift).name})", drift_figure(curve, has_z=table.has_z))
        )
    progress("report", 2, _STEPS)
    views = picture_views(table, options.pixel_nm)
    progress("report", 3, _STEPS)
    machine = describe_machine()
    text = make_page(
        PageContent(
            title=options.title or Path(molecules).stem,
            lead=Path(molecules).name + (f", from {options.frames}" if options.frames else ""),
            numbers=_numbers(quality.metrics),
            views=views,
            z_limits_nm=depth_limits(table, None) if table.has_z else None,
            sample=scatter_sample(table, options.seed) if table.has_z else None,
            frames=panels,
            figures=figures,
            details=_details(localizer, quality.metrics),
            history=table.history,
            commands=commands,
            versions={**machine["versions"], "system": machine["system"]},
        )
    )
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    progress("report", _STEPS, _STEPS)
    return WrittenReport(out, len(text.encode()) / 1e6, len(table))


def _localizer(model: str | None) -> Localizer | None:
    if model is None:
        return None
    from ds3d_tf.localization.localizer import Localizer

    return Localizer(model)


def _panels(options: ReportOptions, detections: Molecules, localizer: Localizer | None) -> list[FramePanel]:
    if options.frames is None:
        return []
    from ds3d_tf.localization.frames.source import open_frames
    from ds3d_tf.postprocessing.molecules.molecules import known_pixel_nm
    from ds3d_tf.postprocessing.report.frames import frame_panels

    source = open_frames(options.frames, keep_damaged=True, position=options.position, channel=options.channel)
    if localizer is None:
        return frame_panels(source, detections, known_pixel_nm(detections, "a frame with its molecules"))
    pixel_nm = 1000 * localizer.setup.optics.pixel_um
    mask_rad = localizer.mask_rad if detections.has_z else None
    return frame_panels(source, detections, pixel_nm, localizer.setup, mask_rad)


def _numbers(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the numbers at the top of the page with their meaning; those that are known."""
    found = [(f"{metrics['molecules']:,}".replace(",", " "), f"molecules in {metrics['frames']} frames")]
    stated = metrics["stated_sigma_nm"]
    if stated:
        found.append((" / ".join(f"{value:.1f}" for value in stated.values()) + " nm", "median uncertainty x / y / z"))
    for name, form, meaning in (
        ("frc_resolution_nm", "{:.1f} nm", "resolution in x, y (FRC)"),
        ("fsc_resolution_nm", "{:.1f} nm", "resolution in space (FSC)"),
        ("nena_sigma_nm", "{:.1f} nm", "precision by NeNA"),
        ("molecules_per_frame", "{:.3g}", "molecules per frame"),
        ("molecules_per_um2", "{:.3g}", "molecules per µm²"),
        ("median_photons", "{:.0f}", "median photons"),
        ("bleaching_lifetime_frames", "{:.0f}", "frames to bleach to 1/e"),
    ):
        if metrics[name] is not None:
            found.append((form.format(metrics[name]), meaning))
    return found


def _details(localizer: Localizer | None, metrics: dict[str, Any]) -> list[tuple[str, str]]:
    import json

    found = [("All numbers", json.dumps(metrics, indent=1))]
    if localizer is not None:
        found.append(("Setup", localizer.setup.to_yaml()))
        card = localizer.path / "card.md"
        versions = sorted(localizer.path.glob("*/card.md")) if localizer.path.is_dir() else []
        for path in [card, *versions[-1:]]:
            if path.is_file():
                found.append(("The model's card", path.read_text(encoding="utf-8")))
                break
    return found
