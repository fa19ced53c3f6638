"""Turn DeepSTORM3D's PyTorch weights into a model of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    weights: Annotated[Path, typer.Argument(help="DeepSTORM3D weights (.pkl).")],
    setup: console.SetupOption,
    out: Annotated[Path, typer.Option("--out", help="Model folder to write.")],
    depth: Annotated[int | None, typer.Option("--depth", help="Depth voxels, if not the setup's.")] = None,
    dilation: Annotated[
        int | None, typer.Option("--dilation", help="Largest dilation, 16 or 4; found out if not given.")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option("--grid", help="Voxel grid, pixel_area or half_pixel_shifted; found out if not given."),
    ] = None,
    scaling_factor: Annotated[
        float | None, typer.Option("--scaling-factor", help="Largest confidence; the setup's if not given.")
    ] = None,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Turn DeepSTORM3D's PyTorch weights into a model of this package.

    Needs PyTorch (the extra `torch`). The setup gives the optics the weights were trained for; dilation and voxel grid
    are found out by localizing simulated lone emitters.
    """
    from ds3d_tf.jobs.import_weights import import_weights
    from ds3d_tf.setup import load_setup

    imported = import_weights(
        weights,
        load_setup(setup, overrides or ()),
        out,
        depth_voxels=depth,
        max_dilation=dilation,
        grid=grid,
        scaling_factor=scaling_factor,
        overwrite=overwrite,
    )
    console.messages().print(imported.summary(), soft_wrap=True)


if __name__ == "__main__":
    console.command(main)
