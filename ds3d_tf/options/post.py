"""Options of the commands that make the picture: drift, group, filter, render, quality, report, run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ds3d_tf.common.options import Option, Options
from ds3d_tf.options.shared import INPUT, Channel, Position, Seed

_RULES, _LINKS, _PICTURE, _COLOURS, _METHOD = "Rules", "Links", "Picture", "Colours", "Method"
_CONTENT, _WATCH = "Content", "Watch"

CameraPixel = Annotated[
    float | None,
    Option("--camera-pixel", "Camera pixel, nm, for tables that do not say it.", INPUT, "NM", above=0),
]


@dataclass(frozen=True)
class DriftOptions(Options):
    """Options of :func:`ds3d_tf.jobs.drift.drift`."""

    method: Annotated[
        Literal["auto", "comet", "correlation", "fiducials"],
        Option(
            "--method",
            "comet needs the extra 'post'; correlation needs nothing; fiducials are found by themselves. auto takes "
            "comet where it is installed.",
            _METHOD,
        ),
    ] = "auto"
    curve: Annotated[
        Path | None,
        Option("--from", "Apply this drift curve (CSV: frame, x, y, z in nm) instead of measuring one.", INPUT),
    ] = None
    window_frames: Annotated[
        int | None,
        Option(
            "--window", "Frames in which the drift counts as constant; chosen by density if omitted.", _METHOD, least=1
        ),
    ] = None
    max_drift_nm: Annotated[
        float, Option("--max-drift", "Largest drift over the recording, nm.", _METHOD, "NM", above=0)
    ] = 600.0
    seed: Seed = 0
    camera_pixel_nm: CameraPixel = None


@dataclass(frozen=True)
class GroupOptions(Options):
    """Options of :func:`ds3d_tf.jobs.group.group`."""

    gap_frames: Annotated[
        int, Option("--gap", "Frames in which a molecule may be dark and still be the same.", _LINKS, least=0)
    ] = 1
    radius_sigmas: Annotated[
        float,
        Option("--radius-sigmas", "Maximum distance in combined uncertainties.", _LINKS, above=0),
    ] = 4.0
    radius_nm: Annotated[
        float | None,
        Option("--radius", "Maximum distance, nm, for tables without uncertainties.", _LINKS, "NM", above=0),
    ] = None
    camera_pixel_nm: CameraPixel = None


@dataclass(frozen=True)
class FilterOptions(Options):
    """Options of :func:`ds3d_tf.jobs.filter.filter`."""

    keep: Annotated[
        tuple[str, ...],
        Option(
            "--keep",
            "Rule such as 'uncertainty_z<40', 'photons>=1000' or '100<z<900'; may be repeated.",
            _RULES,
            "RULE",
        ),
    ] = ()
    frames: Annotated[tuple[int, int] | None, Option("--frames", "First and last frame to keep.", _RULES, least=1)] = (
        None
    )
    region_nm: Annotated[
        tuple[float, float, float, float] | None,
        Option("--region", "Left, top, right and bottom edge of the part to keep, nm.", _RULES),
    ] = None
    border_nm: Annotated[
        float | None,
        Option("--border", "Remove molecules closer than this to the edge of the frame, nm.", _RULES, "NM", above=0),
    ] = None
    neighbours: Annotated[
        int | None,
        Option("--neighbours", "Keep molecules with at least so many others around them.", _RULES, least=1),
    ] = None
    radius_nm: Annotated[
        float, Option("--radius", "Radius in which --neighbours are counted, nm.", _RULES, "NM", above=0)
    ] = 50.0
    drop_incomplete: Annotated[
        bool, Option("--drop-incomplete", "Remove rows without a position instead of refusing the table.", INPUT)
    ] = False
    camera_pixel_nm: CameraPixel = None


@dataclass(frozen=True)
class RenderOptions(Options):
    """Options of :func:`ds3d_tf.jobs.render.render`."""

    pixel_nm: Annotated[float, Option("--pixel", "Pixel of the picture, nm.", _PICTURE, "NM", least=0.1)] = 10.0
    mode: Annotated[
        Literal["auto", "gaussian", "histogram"],
        Option(
            "--mode",
            "gaussian draws each molecule as wide as its uncertainty; auto does so where the table has uncertainties.",
            _PICTURE,
        ),
    ] = "auto"
    view: Annotated[
        Literal["xy", "xz", "zy", "all"],
        Option("--view", "Axes of columns and rows; all puts the three projections on one sheet (PNG).", _PICTURE),
    ] = "xy"
    slice_nm: Annotated[
        float | None,
        Option("--slices", "Make slices of this thickness instead of one projection, nm.", _PICTURE, "NM", above=0),
    ] = None
    min_sigma_nm: Annotated[
        float, Option("--min-sigma", "Draw no Gaussian narrower than this, nm.", _PICTURE, "NM", least=0)
    ] = 0.0
    colour: Annotated[
        Literal["auto", "depth", "count"],
        Option("--colour", "depth colours by z; count shows molecules per pixel, in TIFF as 32-bit numbers.", _COLOURS),
    ] = "auto"
    z_range_nm: Annotated[
        tuple[float, float] | None,
        Option("--z-range", "z of the first and the last colour, nm; 99 % of the molecules if omitted.", _COLOURS),
    ] = None
    brightest: Annotated[
        float | None,
        Option("--brightest", "Molecules per pixel at which the picture is brightest.", _COLOURS, above=0),
    ] = None
    gamma: Annotated[
        float, Option("--gamma", "Exponent of the brightness; smaller shows faint parts.", _COLOURS, above=0)
    ] = 0.5
    camera_pixel_nm: CameraPixel = None


@dataclass(frozen=True)
class QualityOptions(Options):
    """Options of :func:`ds3d_tf.jobs.quality.quality`."""

    frc_pixel_nm: Annotated[
        float | None,
        Option(
            "--frc-pixel", "Pixel of the ring correlation, nm; chosen by precision if omitted.", _METHOD, "NM", above=0
        ),
    ] = None
    blocks: Annotated[
        int,
        Option("--blocks", "Blocks of frames that the two halves of the correlation share.", _METHOD, least=2),
    ] = 100
    repeats: Annotated[int, Option("--repeats", "Number of random halvings.", _METHOD, least=1)] = 5
    seed: Seed = 0
    camera_pixel_nm: CameraPixel = None


@dataclass(frozen=True)
class ReportOptions(Options):
    """Options of :func:`ds3d_tf.jobs.report.report`."""

    frames: Annotated[str | None, Option("--frames", "Recording, to show frames with their molecules.", _CONTENT)] = (
        None
    )
    position: Position = None
    channel: Channel = None
    model: Annotated[
        str | None,
        Option("--model", "Model that localized it: its setup and card, and what frames have left over.", _CONTENT),
    ] = None
    detections: Annotated[
        Path | None,
        Option(
            "--detections",
            "Table before drift correction and grouping, for the frames; MOLECULES if omitted.",
            _CONTENT,
        ),
    ] = None
    drift: Annotated[Path | None, Option("--drift", "Drift curve to show (CSV of 'ds3d drift').", _CONTENT)] = None
    title: Annotated[str, Option("--title", "Headline; the table's name if omitted.", _CONTENT)] = ""
    pixel_nm: Annotated[
        float | None,
        Option("--pixel", "Pixel of the picture, nm; 10, or larger for large fields.", _PICTURE, "NM", least=0.1),
    ] = None
    seed: Seed = 0
    camera_pixel_nm: CameraPixel = None


@dataclass(frozen=True)
class RunOptions(Options):
    """Options of :func:`ds3d_tf.jobs.run.run`."""

    steps: Annotated[
        Path | None,
        Option("--steps", "YAML of steps and their options, such as {drift: {method: comet}, group: false}.", INPUT),
    ] = None
    position: Position = None
    channel: Channel = None
    watch: Annotated[
        bool, Option("--watch", "Follow a recording while it is written; renew picture and report.", _WATCH)
    ] = False
    interval_s: Annotated[float, Option("--interval", "Seconds between two renewals.", _WATCH, "SECONDS", above=0)] = (
        60.0
    )
    patience_s: Annotated[
        float,
        Option("--patience", "End when no frame has come for so long.", _WATCH, "SECONDS", above=0),
    ] = 600.0
