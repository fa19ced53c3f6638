"""The job of tools/retrieve_mask.py: from a bead stack to a phase mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from rich.progress import Progress

    from ds3d_tf.calibration.retrieval.options import RetrievedMask

POLARIZATIONS = ("x", "y", "none", "auto")


def retrieve_mask(
    beads: str | Path,
    nfp: str | Path,
    setup: Setup,
    out: Path,
    *,
    model: str | None = None,
    polarization: str | None = None,
    likelihood: str = "gaussian",
    baseline: float = 0.0,
    gain: float = 1.0,
    bead_height_um: float = 0.0,
    zernike_terms: int = 15,
    leave_out_every: int = 0,
    skip: Sequence[int] = (),
    max_steps: int = 400,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Setup, RetrievedMask]:
    """Retrieve the mask of a bead stack and write it, with a report and a figure, into the folder ``out``.

    ``model`` and ``polarization`` (``auto``: both x and y, the better one is kept) come from the setup if None.
    Counts are turned into photons as (counts - baseline) / gain; it matters to the ``poisson`` likelihood only.
    ``leave_out_every`` k keeps slices k - 1, 2k - 1 … out of the fit, for comparison.

    Returns the setup fitted with (its model and polarization) and the result.

    Raises InputError for a wrong option, a stack that cannot be used, or an output that exists.
    """
    out = check_folder(out, overwrite, "retrieve-mask")
    choices: dict[str, tuple[str | None, tuple[str, ...]]] = {
        "model": (model, ("scalar", "vectorial")),
        "polarization": (polarization, POLARIZATIONS),
        "likelihood": (likelihood, ("gaussian", "poisson")),
    }
    for name, (value, allowed) in choices.items():
        if value is not None and value not in allowed:
            raise InputError(f"--{name} {value}: expected one of {', '.join(allowed)}")
    for name, number, least in (("gain", gain, 1e-9), ("steps", max_steps, 20), ("zernike", zernike_terms, 0)):
        if not number >= least:
            raise InputError(f"--{name} {number:g}: expected at least {least:g}")
    if leave_out_every < 0 or leave_out_every == 1:
        raise InputError(f"--leave-out-every {leave_out_every}: expected 2 or more, or 0 to fit every slice")
    setup = setup.replace({"optics.model": model or setup.optics.model})
    wanted = polarization or setup.optics.polarization
    if setup.optics.model == "scalar" and polarization not in (None, "none"):
        raise InputError(f"--polarization {polarization}: the scalar model knows none; add --model vectorial")

    from ds3d_tf.calibration.retrieval.options import RetrievalOptions
    from ds3d_tf.calibration.retrieval.report import write_retrieval
    from ds3d_tf.calibration.retrieval.retrieve import retrieve
    from ds3d_tf.calibration.retrieval.stack_files import read_bead_stack
    from ds3d_tf.optics.pupil import fft_size

    stack = read_bead_stack(beads, nfp, skip)
    grid = fft_size(setup.optics, setup.mask.size_px)
    if max(stack.slices.shape[1:]) > grid:
        raise InputError(f"{beads}: slices are larger than the model's {grid}×{grid} pixels; crop them around the bead")
    left_out = range(leave_out_every - 1, len(stack.slices), leave_out_every) if leave_out_every else ()
    options = RetrievalOptions(
        likelihood=likelihood,
        zernike_terms=zernike_terms,
        left_out=tuple(left_out),
        blur_sigma_px=float(np.mean(setup.blur.sigma_range_px)),
        max_steps=max_steps,
        seed=seed,
    )
    stack = replace(stack, slices=((stack.slices - baseline) / gain).astype(np.float32))
    tried = []
    for candidate in ("x", "y") if wanted == "auto" else (wanted,):
        variant = setup.replace({"optics.polarization": candidate})
        watch = _Watch(progress, _description(variant), max_steps)
        result = retrieve(
            stack.slices,
            stack.nfp_um,
            variant.optics,
            variant.mask.size_px,
            bead_height_um=bead_height_um,
            options=options,
            progress=watch,
        )
        watch.finish(result.steps)
        tried.append((variant, result))
    setup, result = min(tried, key=lambda pair: pair[1].misfit)
    with output_folder(out, overwrite, "retrieve-mask") as folder:
        write_retrieval(folder, stack, setup, bead_height_um, options, result)
    return setup, result


class _Watch:
    """Shows the steps of one fit on a progress bar, if there is one."""

    def __init__(self, progress: Progress | None, name: str, most: int) -> None:
        self._progress, self._name = progress, name
        self._task = progress.add_task(name, total=most) if progress else None

    def __call__(self, step: int, most: int, misfit: float) -> None:
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=step, description=f"{self._name}, misfit {misfit:.4f}")

    def finish(self, steps: int) -> None:
        """Say that ``steps`` steps were enough."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, total=steps, completed=steps)


def _description(setup: Setup) -> str:
    return f"vectorial {setup.optics.polarization}" if setup.optics.model == "vectorial" else "scalar"
