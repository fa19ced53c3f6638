"""Commands that lead from molecules to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ds3d_tf.cli.options import OUTPUT, Overwrite, show
from ds3d_tf.common import console
from ds3d_tf.common.options import Option
from ds3d_tf.options import RenderOptions
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


COMMANDS = (render,)
