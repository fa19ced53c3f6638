"""Retrieve the phase mask from a bead's z-stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    beads: Annotated[str, typer.Option("--beads", help="TIFF stack of one bead, near the centre.")],
    nfp: Annotated[Path, typer.Option("--nfp", help="CSV with each slice's focus position, µm (column nfp_um).")],
    setup: console.SetupOption,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    model: Annotated[str | None, typer.Option("--model", help="scalar or vectorial; the setup's if not given.")] = None,
    polarization: Annotated[
        str | None,
        typer.Option("--polarization", help="x, y, none, or auto: the better of x and y; the setup's if not given."),
    ] = None,
    likelihood: Annotated[str, typer.Option("--likelihood", help="gaussian or poisson.")] = "gaussian",
    baseline: Annotated[float, typer.Option("--baseline", help="Counts without light, for poisson.")] = 0.0,
    gain: Annotated[float, typer.Option("--gain", help="Counts a photon, for poisson.")] = 1.0,
    bead_height: Annotated[
        float, typer.Option("--bead-height", help="Height of the bead's centre above the coverslip, µm.")
    ] = 0.0,
    zernike: Annotated[
        int, typer.Option("--zernike", help="Start from Zernike modes up to this Noll index; 0: a flat mask.")
    ] = 15,
    leave_out_every: Annotated[
        int, typer.Option("--leave-out-every", help="Keep every k-th slice out of the fit, to judge it by.")
    ] = 0,
    skip: Annotated[str, typer.Option("--skip", metavar="I,J,…", help="Slices to ignore, numbered from 0.")] = "",
    steps: Annotated[int, typer.Option("--steps", help="Most steps; the fit ends sooner where it stalls.")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Order in which slices are visited.")] = 0,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Retrieve the phase mask, and what else shaped a bead's z-stack, by maximum likelihood.

    Writes mask.mat, mask.npy, setup.yaml (ready for training), retrieval.yaml (blur, offsets, signal and background
    of each slice) and retrieval.png into a folder.
    """
    from ds3d_tf.jobs.retrieve_mask import retrieve_mask
    from ds3d_tf.setup import load_setup

    with console.progress("steps") as progress:
        fitted, result = retrieve_mask(
            beads,
            nfp,
            load_setup(setup, overrides or ()),
            out,
            model=model,
            polarization=polarization,
            likelihood=likelihood,
            baseline=baseline,
            gain=gain,
            bead_height_um=bead_height,
            zernike_terms=zernike,
            leave_out_every=leave_out_every,
            skip=console.numbers("--skip", skip),
            max_steps=steps,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    text = f"{out}: {fitted.optics.model}"
    if fitted.optics.model == "vectorial":
        text += f", polarization {fitted.optics.polarization}"
    text += f"; mean correlation {result.correlation[result.fitted].mean():.4f} of fitted slices"
    if not result.fitted.all():
        text += f", {result.correlation[~result.fitted].mean():.4f} of slices left out"
    console.messages().print(f"{text}; blur {result.blur_sigma_px:.2f} px", soft_wrap=True)


if __name__ == "__main__":
    console.command(main)
