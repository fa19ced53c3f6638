"""The job of `ds3d retrieve-mask`: from a bead stack to a phase mask."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import FitOptions, RetrieveMaskOptions
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from ds3d_tf.calibration.retrieval.options import RetrievedMask
    from ds3d_tf.calibration.retrieval.verdict import Verdict


@dataclass(frozen=True, eq=False)
class RetrievedSetup:
    """The folder that was written, the setup fitted with (its model and polarization), and what was retrieved.

    ``verdict`` says whether it worked; ``remarks`` holds what a user should know about the stack, a sentence each.
    """

    folder: Path
    setup: Setup
    result: RetrievedMask
    verdict: Verdict
    remarks: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return the outcome: one line, and one for each remark."""
        optics, result = self.setup.optics, self.result
        text = f"{self.folder}: {optics.model}"
        if optics.model == "vectorial":
            text += f", polarization {optics.polarization}"
        text += f"; mean correlation {result.correlation[result.fitted].mean():.4f} of fitted slices"
        if not result.fitted.all():
            text += f", {result.correlation[~result.fitted].mean():.4f} of slices left out"
        text = f"{text}; blur {result.blur_sigma_px:.2f} px; verdict: {self.verdict.word}"
        verdict = [*(f"failed: {reason}" for reason in self.verdict.failures), *self.verdict.remarks]
        return "\n".join([text, *(f"note: {remark}" for remark in (*self.remarks, *verdict))])


@takes_options(RetrieveMaskOptions)
def retrieve_mask(
    beads: str | Path,
    nfp: str | Path,
    setup: Setup,
    out: str | Path,
    options: RetrieveMaskOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> RetrievedSetup:
    """Retrieve the mask of a bead's z-stack and write it, with a report and a figure, into a folder.

    Args:
        beads: TIFF stack of one bead.
        nfp: CSV with each slice's nominal focal plane, µm.
        setup: optics and size of the mask.
        out: folder to write.
        options: see :class:`~ds3d_tf.options.RetrieveMaskOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier output.
        progress: told how many steps are done.

    Raises InputError for a wrong option, a stack that cannot be used, an output that exists, or, unless ``accept`` is
    set, a retrieval that failed or a focus direction that nothing tells.
    """
    out = check_folder(out, overwrite, "retrieve-mask")
    leave_out_every, polarization = options.leave_out_every, options.polarization
    if leave_out_every == 1:
        raise InputError(f"{argument('leave_out_every')} 1: expected 2 or more, or 0 to fit every slice")
    setup = setup.replace({"optics.model": options.optical_model or setup.optics.model})
    wanted = polarization or setup.optics.polarization
    if setup.optics.model == "scalar" and polarization not in (None, "none"):
        raise InputError(
            f"{argument('polarization')} {polarization}: the scalar model has none; "
            f"set {argument('optical_model')} to vectorial"
        )

    from ds3d_tf.calibration.retrieval.direction import find_direction
    from ds3d_tf.calibration.retrieval.focus_positions import doubtful_span
    from ds3d_tf.calibration.retrieval.options import RetrievalOptions
    from ds3d_tf.calibration.retrieval.report import write_retrieval
    from ds3d_tf.calibration.retrieval.retrieve import retrieve
    from ds3d_tf.calibration.retrieval.stack_files import read_bead_stack
    from ds3d_tf.calibration.retrieval.verdict import judge
    from ds3d_tf.optics.pupil import fft_size

    stack = read_bead_stack(beads, nfp, options.skip, position=options.position, channel=options.channel)
    span = doubtful_span(stack.nfp_um)
    if span and not options.accept:
        raise InputError(f"{nfp}: {span} ({argument('accept')} takes them all the same)")
    grid = fft_size(setup.optics, setup.mask.size_px)
    if max(stack.slices.shape[1:]) > grid:
        raise InputError(
            f"{beads}: slices are larger than the model's {grid:.5g}×{grid:.5g} pixels; crop them around the bead"
        )
    left_out = range(leave_out_every - 1, len(stack.slices), leave_out_every) if leave_out_every else ()
    how = RetrievalOptions(
        **asdict(options.part(FitOptions)),
        left_out=tuple(left_out),
        blur_sigma_px=float(np.mean(setup.blur.sigma_range_px)),
    )
    counts = stack
    stack = replace(stack, slices=((stack.slices - options.baseline) / options.gain).astype(np.float32))

    def fitted(nfp_um: np.ndarray) -> tuple[Setup, RetrievedMask]:
        """Return the best of the polarizations that are tried."""
        tried = []
        for candidate in ("x", "y") if wanted == "auto" else (wanted,):
            variant = setup.replace({"optics.polarization": candidate})
            name = _description(variant)
            result = retrieve(
                stack.slices,
                nfp_um,
                variant.optics,
                variant.mask.size_px,
                bead_height_um=options.bead_height_um,
                options=how,
                progress=functools.partial(_show, progress, name),
            )
            progress(f"{name}, misfit {result.misfit:.4f}", result.steps, result.steps)
            tried.append((variant, result))
        return min(tried, key=lambda pair: pair[1].misfit)

    way = find_direction(stack, setup, options.focus_direction, options.bead_height_um, how.blur_sigma_px)
    if way.question and not options.accept:
        raise InputError(f"{argument('focus_direction')}: {way.question}")
    if way.problems and not options.accept:
        raise InputError(f"{way.problems[0]} ({argument('accept')} goes on all the same)")
    nfp_um = way.sign * stack.nfp_um
    best, result = fitted(nfp_um)
    problems, told = list(way.problems), list(way.remarks)
    if way.question:
        told.append("nothing tells the focus direction; it is taken to be up, and z is upside down if it is not")
    verdict = judge(stack.slices, nfp_um, result)
    verdict = replace(verdict, failures=(*verdict.failures, *problems, *([span] if span else [])))
    if verdict.failures and not options.accept:
        raise InputError(
            f"{beads}: the retrieval failed, nothing is written: {'; '.join(verdict.failures)} "
            f"({argument('accept')} writes it all the same)"
        )
    stack = replace(stack, nfp_um=nfp_um)
    with output_folder(out, overwrite, "retrieve-mask") as folder:
        write_retrieval(folder, stack, best, options.bead_height_um, how, result, verdict)
    return RetrievedSetup(out, best, result, verdict, (*counts.remarks, *told))


def _show(progress: Progress, name: str, step: int, most: int, misfit: float) -> None:
    progress(f"{name}, misfit {misfit:.4f}", step, most)


def _description(setup: Setup) -> str:
    return f"vectorial {setup.optics.polarization}" if setup.optics.model == "vectorial" else "scalar"
