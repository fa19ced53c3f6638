"""Commands that calibrate: from beads and raw recordings to a setup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ds3d_tf.cli.options import OUTPUT, Folder, Frames, Overrides, Overwrite, SetupName, setup_of, show
from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.options import Option
from ds3d_tf.options import CrlbOptions, DesignMaskOptions, EstimateNoiseOptions, PrepareOptions, RetrieveMaskOptions
from ds3d_tf.options.shared import INPUT


def retrieve_mask(
    beads: Annotated[str, Option("--beads", "z-stack of one bead: TIFF, folder of TIFFs, Zarr, NumPy (.npy).", INPUT)],
    nfp: Annotated[
        Path, Option("--nfp", "CSV with the focus position of each slice, µm, in the column nfp_um.", INPUT)
    ],
    setup: SetupName,
    out: Folder,
    options: RetrieveMaskOptions,
    overrides: Overrides = (),
    overwrite: Overwrite = False,
) -> None:
    """Retrieve the phase mask from a bead's z-stack.

    Writes mask.npy, mask.mat, setup.yaml (ready to train with), retrieval.yaml and retrieval.png into a folder.
    """
    from ds3d_tf.jobs.retrieve_mask import retrieve_mask

    with console.bars("steps") as progress:
        result = retrieve_mask(
            beads, nfp, setup_of(setup, overrides), out, options, overwrite=overwrite, progress=progress
        )
    show(result)


def prepare(frames: Frames, out: Folder, options: PrepareOptions, overwrite: Overwrite = False) -> None:
    """Subtract a recording's constant background: the minimum of each pixel over all frames.

    Writes prepared.tif, minimum.tif, prepare.yaml and two pictures to check into a folder.
    """
    from ds3d_tf.jobs.prepare import prepare

    with console.bars("frames") as progress:
        result = prepare(frames, out, options, overwrite=overwrite, progress=progress)
    show(result)


def estimate_noise(
    frames: Frames,
    out: Folder,
    options: EstimateNoiseOptions,
    setup: Annotated[
        str | None,
        Option("--setup", "Preset or YAML file with optics and mask; only the noise is estimated if omitted.", "Setup"),
    ] = None,
    overrides: Overrides = (),
    overwrite: Overwrite = False,
) -> None:
    """Estimate baseline, background noise and the emitters' photons from a recording.

    Writes sections.yaml (the estimates as sections of a setup), noise.yaml (all numbers) and where.png into a folder;
    with --setup also setup.yaml (ready to train with) and comparison.png (a simulated frame beside a real one).
    """
    from ds3d_tf.jobs.estimate_noise import estimate_noise

    if overrides and setup is None:
        raise InputError(f"{argument('overrides')} changes a setup; give one with {argument('setup')}")
    chosen = None if setup is None else setup_of(setup, overrides)
    with console.bars("frames") as progress:
        result = estimate_noise(frames, out, options, setup=chosen, overwrite=overwrite, progress=progress)
    show(result)


def crlb(
    setup: SetupName,
    out: Annotated[Path, Option("--out", "PNG file to write; a CSV file of the same name gets the numbers.", OUTPUT)],
    options: CrlbOptions,
    overrides: Overrides = (),
    overwrite: Overwrite = False,
) -> None:
    """Draw the Cramér–Rao bound of a mask: the best precision that a lone emitter allows, over z.

    Masks to compare are named like mask.source, and have the same size and optics.
    """
    from ds3d_tf.jobs.crlb import crlb

    with console.bars("masks") as progress:
        result = crlb(setup_of(setup, overrides), out, options, overwrite=overwrite, progress=progress)
    show(result)


def design_mask(
    setup: SetupName,
    out: Folder,
    options: DesignMaskOptions,
    overrides: Overrides = (),
    overwrite: Overwrite = False,
) -> None:
    """Design the phase mask with the smallest mean Cramér–Rao bound over the setup's depth range.

    Writes mask.mat, mask.npy, setup.yaml (ready to train with), design.yaml and design.png into a folder. Change the
    depth range with --set volume.z_max_um=…
    """
    from ds3d_tf.jobs.design_mask import design_mask

    with console.bars("iterations") as progress:
        result = design_mask(setup_of(setup, overrides), out, options, overwrite=overwrite, progress=progress)
    show(result)


COMMANDS = (retrieve_mask, prepare, estimate_noise, crlb, design_mask)
