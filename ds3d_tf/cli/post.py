"""Commands that lead from molecules to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ds3d_tf.cli.options import OUTPUT, Folder, ModelName, Overwrite, show
from ds3d_tf.common import console
from ds3d_tf.common.options import Option
from ds3d_tf.options import (
    DriftOptions,
    FilterOptions,
    GroupOptions,
    QualityOptions,
    RenderOptions,
    ReportOptions,
    RunOptions,
)
from ds3d_tf.options.shared import INPUT

MoleculeTable = Annotated[
    Path,
    Option(
        "",
        "Table of molecules: .csv (also of ThunderSTORM, ZOLA-3D, SMAP, DECODE), .parquet, .hdf5 (Picasso), .smlm.",
        INPUT,
        "MOLECULES",
    ),
]
NewTable = Annotated[Path, Option("--out", "Table to write: .csv, .parquet, .hdf5 (Picasso) or .smlm.", OUTPUT)]


def drift(molecules: MoleculeTable, out: NewTable, options: DriftOptions, overwrite: Overwrite = False) -> None:
    """Measure the drift of a recording from its molecules, and correct it.

    Beside the corrected table OUT come its curve (OUT_drift.csv: frame, x, y, z in nm) and a plot (OUT_drift.png).
    """
    from ds3d_tf.jobs.drift import drift

    with console.bars("steps") as progress:
        result = drift(molecules, out, options, overwrite=overwrite, progress=progress)
    show(result)


def group(molecules: MoleculeTable, out: NewTable, options: GroupOptions, overwrite: Overwrite = False) -> None:
    """Make one row of each molecule that is seen in consecutive frames.

    Positions are averaged with their uncertainties as weights, photons are summed. New columns: last_frame, detections,
    frames_on. Beside the table OUT comes a plot of the precision before and after (OUT_precision.png).
    """
    from ds3d_tf.jobs.group import group

    with console.bars("detections") as progress:
        result = group(molecules, out, options, overwrite=overwrite, progress=progress)
    show(result)


def filter(molecules: MoleculeTable, out: NewTable, options: FilterOptions, overwrite: Overwrite = False) -> None:
    """Keep the molecules that fulfil all rules.

    A rule compares a column with numbers: 'uncertainty_z<40', 'photons>=1000', '100<z<900'. The command says how many
    molecules each rule removed.
    """
    from ds3d_tf.jobs.filter import filter

    show(filter(molecules, out, options, overwrite=overwrite))


def render(
    molecules: MoleculeTable,
    out: Annotated[Path, Option("--out", "Picture to write: .png, .tif, or a movie: .gif, .mp4.", OUTPUT)],
    options: RenderOptions,
    overwrite: Overwrite = False,
) -> None:
    """Render molecules as a super-resolved picture.

    A PNG has a scale bar and a bar with the colours of depth. A TIFF is calibrated for Fiji. In a movie (GIF, or MP4
    where ffmpeg is installed) the molecules turn about the vertical axis.
    """
    from ds3d_tf.jobs.render import render

    with console.bars("molecules") as progress:
        result = render(molecules, out, options, overwrite=overwrite, progress=progress)
    show(result)


def quality(molecules: MoleculeTable, out: Folder, options: QualityOptions, overwrite: Overwrite = False) -> None:
    """Measure the quality of a table of molecules.

    Writes metrics.json, curves and plots into a folder: measured and stated uncertainties, NeNA, Fourier ring and
    shell correlation, grid index, density, molecules per frame, photons, bleaching.
    """
    from ds3d_tf.jobs.quality import quality

    with console.bars("steps") as progress:
        result = quality(molecules, out, options, overwrite=overwrite, progress=progress)
    show(result)


def report(
    molecules: MoleculeTable,
    out: Annotated[Path, Option("--out", "Page to write: .html.", OUTPUT)],
    options: ReportOptions,
    overwrite: Overwrite = False,
) -> None:
    """Write a report on a table of molecules as one HTML page.

    Picture to move and zoom, molecules in space to turn, quality, how it was made; with --frames also frames with their
    molecules. The page needs no network.
    """
    from ds3d_tf.jobs.report import report

    with console.bars("steps") as progress:
        result = report(molecules, out, options, overwrite=overwrite, progress=progress)
    show(result)


def run(
    frames: Annotated[
        str,
        Option("", "Recording: TIFF, folder of TIFFs, Zarr, NumPy (.npy), or a glob in quotes.", INPUT, "RECORDING"),
    ],
    model: ModelName,
    out: Folder,
    options: RunOptions,
    overwrite: Overwrite = False,
) -> None:
    """Go from a recording to molecules, picture and report.

    Localizes, corrects drift, filters, groups, measures quality, renders and reports. After an interruption, run the
    same command again to resume; steps whose input and options have not changed are not done again.
    """
    from ds3d_tf.jobs.run import run

    with console.bars("steps") as progress:
        result = run(frames, model, out, options, overwrite=overwrite, progress=progress)
    show(result)


COMMANDS = (run, drift, filter, group, render, quality, report)
