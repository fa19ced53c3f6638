"""Design the phase mask that localizes most precisely over a setup's depth range."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    setup: console.SetupOption,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    photons: Annotated[float | None, typer.Option("--photons", help="Photons; the setup's mean if not given.")] = None,
    background: Annotated[
        float | None, typer.Option("--background", help="Counts a pixel; the setup's mean if not given.")
    ] = None,
    read_noise: Annotated[
        float | None, typer.Option("--read-noise", help="Standard deviation, counts; the setup's mean if not given.")
    ] = None,
    blur: Annotated[float | None, typer.Option("--blur", help="Pixels; the setup's mean if not given.")] = None,
    lowest: Annotated[
        int, typer.Option("--lowest", help="First Noll index; 4 lets the design choose its focus, 5 keeps the setup's.")
    ] = 4,
    highest: Annotated[int, typer.Option("--highest", help="Last Noll index of the Zernike basis.")] = 55,
    heights: Annotated[int, typer.Option("--heights", help="Number of heights whose bounds are averaged.")] = 17,
    starts: Annotated[int, typer.Option("--starts", help="Random starts; the best is followed to the end.")] = 6,
    steps: Annotated[int, typer.Option("--steps", help="Most iterations from the best start on.")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random starts.")] = 0,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Design the phase mask of smallest mean Cramér–Rao bound over the setup's depth range, in Zernike modes.

    Writes mask.mat, mask.npy, setup.yaml (ready for training), design.yaml (coefficients, settings, figures,
    versions) and design.png into a folder. The depth range is changed with --set volume.z_max_um=…
    """
    from ds3d_tf.jobs.design_mask import design_mask
    from ds3d_tf.setup import load_setup

    with console.progress("iterations") as progress:
        rows = design_mask(
            load_setup(setup, overrides or ()),
            out,
            photons=photons,
            background=background,
            read_noise=read_noise,
            blur_sigma_px=blur,
            lowest_mode=lowest,
            highest_mode=highest,
            heights=heights,
            starts=starts,
            steps=steps,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    for name, row in rows.items():
        console.messages().print(
            f"{name}: mean bound {row['mean_nm']:.2f} nm (x {row['mean_x_nm']:.1f}, y {row['mean_y_nm']:.1f}, "
            f"z {row['mean_z_nm']:.1f}); rms lateral {row['rms_lateral_nm']:.1f}, axial {row['rms_axial_nm']:.1f} nm",
            soft_wrap=True,
        )


if __name__ == "__main__":
    console.command(main)
