"""One evaluation: a model localizes frames whose emitters are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.file_names import LOCALIZATIONS_FILE, METRICS_FILE, TRUTH_FILE
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import EvaluateOptions
from ds3d_tf.setup import Setup
from ds3d_tf.setup.bounds import check_emitter_count

if TYPE_CHECKING:
    from ds3d_tf.evaluation.truth import FrameTruth
    from ds3d_tf.localization.localizations import Localizations
    from ds3d_tf.localization.localizer import Localizer


EXAMPLE_FRAMES = 6
EVALUATION_FILES = (
    METRICS_FILE,
    LOCALIZATIONS_FILE,
    TRUTH_FILE,
    "by_emitter_number.png",
    "by_depth.png",
    "errors.png",
    "example_frames.png",
    "refinement.png",
)


@dataclass(frozen=True)
class Evaluation:
    """Metrics (docs/evaluation.md) and the folder that holds them and their plots."""

    folder: Path
    metrics: dict[str, Any]

    def summary(self) -> str:
        """Return the main metrics as a few lines."""
        from ds3d_tf.evaluation.report import summary

        return f"{summary(self.metrics)}\nmetrics and plots: {self.folder}/"


@takes_options(EvaluateOptions)
def evaluate(
    model: str | Path,
    out: str | Path,
    options: EvaluateOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Evaluation:
    """Evaluate a model on fresh simulated frames, or on given frames with the table of their emitters.

    Writes ``metrics.json``, ``localizations.csv``, ``truth.csv`` and plots.

    Args:
        model: a model in any format of this package, or the name of a shipped one.
        out: folder to write.
        options: see :class:`~ds3d_tf.options.EvaluateOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier evaluation.
        progress: told how many frames are done.

    Raises InputError for a model, frames, truth, option or output that cannot be used.
    """
    out = check_folder(out, overwrite, "evaluate")
    frames, truth = options.frames, options.truth
    if (frames is None) != (truth is None):
        present, missing = ("frames", "truth") if truth is None else ("truth", "frames")
        raise InputError(f"{argument(present)} also needs {argument(missing)}: frames and the table of their emitters")

    from ds3d_tf.evaluation.comparison import compare
    from ds3d_tf.evaluation.efficiency import ChallengeRules, challenge_metrics, grid_index
    from ds3d_tf.evaluation.metrics import metrics
    from ds3d_tf.evaluation.plots import plot_refinement
    from ds3d_tf.evaluation.refined import bounds_nm, network_pulls, refined_metrics
    from ds3d_tf.localization.localizations import Localizations
    from ds3d_tf.localization.localizer import Localizer, checked_options
    from ds3d_tf.refinement.frames import refine
    from ds3d_tf.refinement.options import RefineOptions
    from ds3d_tf.simulation.pixel_grid import electrons_per_photon

    localizer = Localizer(model)
    setup = localizer.setup
    threshold, radius_voxels = checked_options(setup, options.threshold, options.radius_voxels)
    label_threshold = options.label_threshold
    if label_threshold is None:
        label_threshold = setup.signal.label_threshold
    if frames is not None and truth is not None:
        total, examples = _recorded(localizer, frames, truth, label_threshold, options)
    else:
        total = options.count
        check_emitter_count(setup, options.emitter_count)
        examples = _simulated(setup, total, options.seed, options.emitter_count, label_threshold)

    shown: list[tuple[np.ndarray, FrameTruth, np.ndarray]] = []
    truths: list[FrameTruth] = []
    found: list[np.ndarray] = []
    sigmas_um: list[np.ndarray] = []
    tables: list[Localizations] = []
    stride = max(total // EXAMPLE_FRAMES, 1)
    progress("evaluating", 0, total)
    batches = _batches(examples, localizer, options.batch_size)
    for seen, context, some_truths in _with_context(batches, localizer):
        some_found = localizer.rows(seen, threshold, radius_voxels, context)
        stack = seen[context[0] : len(seen) - context[1]]
        shape = (stack.shape[1], stack.shape[2])
        table = Localizations.from_rows(some_found, shape, setup)
        if options.refine:
            refined = refine(stack, table, setup, localizer.mask_rad, options=RefineOptions(options.false_alarms))
            numbers = range(1, len(stack) + 1)
            some_found = [np.column_stack([one.xyz_um, one.confidence]) for one in map(refined.of_frame, numbers)]
            sigmas_um.append(refined.sigma_xyz_um)
            table = refined
        tables.append(table.renumbered(range(len(truths), len(truths) + len(stack))))
        for frame, one_truth, one_found in zip(stack, some_truths, some_found, strict=True):
            if len(truths) % stride == 0 and len(shown) < EXAMPLE_FRAMES:
                shown.append((frame, one_truth, one_found[:, :3]))
            truths.append(one_truth)
            found.append(one_found)
        progress("evaluating", len(truths), total)

    comparison = compare(
        [one.targets_um for one in truths],
        [one[:, :3] for one in found],
        [len(one.photons) for one in truths],
        options.tolerance_nm / 1000,
    )
    values = {
        "model": str(model),
        "data": f"{frames}, {truth}" if frames is not None else f"{total} simulated frames, seed {options.seed}",
        "threshold": threshold,
        "radius_voxels": radius_voxels,
        "label_threshold_photons": label_threshold,
        "refined": options.refine,
        **challenge_metrics(
            [one.targets_um for one in truths],
            [one[:, :3] for one in found],
            tables[0].frame_shape,
            setup.optics.pixel_um,
            ChallengeRules(*options.challenge),
        ),
        "grid_index": grid_index(np.concatenate([one[:, :3] for one in found]), setup.optics.pixel_um),
        **metrics(comparison, (setup.volume.z_min_um, setup.volume.z_max_um)),
    }
    bound = None
    if localizer.is_pixel_network and not options.refine:
        photons = electrons_per_photon(setup) * np.concatenate([one.photons[one.labelled] for one in truths])
        values |= network_pulls(comparison, photons, np.concatenate(found))
    if options.refine:
        bound = bounds_nm(truths, tables[0].frame_shape, setup, localizer.mask_rad)
        values |= refined_metrics(comparison, bound, np.concatenate(sigmas_um))
    names = [f"frame {index * stride + 1}" for index in range(len(shown))]
    with output_folder(out, overwrite, "evaluate") as folder:
        _write(folder, values, comparison, truths, tables, shown, names, setup)
        if bound is not None and len(comparison.pairs):
            plot_refinement(folder / "refinement.png", comparison, bound, np.concatenate(sigmas_um), values)
    return Evaluation(out, values)


def _recorded(
    localizer: Localizer,
    frames: str | Path,
    truth: str | Path,
    label_threshold: float | None,
    options: EvaluateOptions,
) -> tuple[int, Iterator[tuple[np.ndarray, FrameTruth]]]:
    from ds3d_tf.evaluation.truth import read_truth
    from ds3d_tf.localization.recording.opening import open_recording

    source = open_recording(frames, options)
    localizer.check_shape(source.shape, str(frames))
    truths = read_truth(truth, len(source), label_threshold, source.shape, localizer.setup)
    return len(source), zip(source, truths, strict=True)


def _simulated(
    setup: Setup, count: int, seed: int, emitter_count: int | None, label_threshold: float | None
) -> Iterator[tuple[np.ndarray, FrameTruth]]:
    from ds3d_tf.evaluation.truth import simulated_truth
    from ds3d_tf.simulation.stream import simulated_groups

    for group in simulated_groups(setup, count, seed, emitter_count):
        yield from zip(group.frames, simulated_truth(group, label_threshold), strict=True)


def _batches(
    examples: Iterator[tuple[np.ndarray, FrameTruth]], localizer: Localizer, batch_size: int | None
) -> Iterator[tuple[np.ndarray, list[FrameTruth]]]:
    frames: list[np.ndarray] = []
    truths: list[FrameTruth] = []
    for frame, truth in examples:
        frames.append(frame)
        truths.append(truth)
        if len(frames) == (batch_size or localizer.batch_size(frame.shape)):
            yield np.stack(frames), truths
            frames, truths = [], []
    if frames:
        yield np.stack(frames), truths


def _with_context(
    batches: Iterator[tuple[np.ndarray, list[FrameTruth]]], localizer: Localizer
) -> Iterator[tuple[np.ndarray, tuple[int, int], list[FrameTruth]]]:
    """Yield batches with the frames beside them, for networks that see several frames at once."""
    from ds3d_tf.localization.neighbours import with_neighbours

    if localizer.context_frames > 1:
        return with_neighbours(batches)
    return ((frames, (0, 0), truths) for frames, truths in batches)


def _write(
    folder: Path,
    values: dict[str, Any],
    comparison: Any,
    truths: list[FrameTruth],
    tables: list[Localizations],
    shown: list[tuple[np.ndarray, FrameTruth, np.ndarray]],
    names: list[str],
    setup: Setup,
) -> None:
    import pandas as pd

    from ds3d_tf.evaluation import plots
    from ds3d_tf.evaluation.report import write_metrics
    from ds3d_tf.evaluation.truth import labelled_table
    from ds3d_tf.localization.tables.tables import write_table

    write_metrics(folder / METRICS_FILE, values)
    write_table(folder / LOCALIZATIONS_FILE, pd.concat([one.to_dataframe() for one in tables], ignore_index=True))
    truth = labelled_table(truths, tables[0].frame_shape, setup)
    truth.to_csv(folder / TRUTH_FILE, index=False, float_format="%.3f", lineterminator="\n")
    plots.plot_by_emitter_number(folder / "by_emitter_number.png", values)
    plots.plot_by_depth(folder / "by_depth.png", values)
    plots.plot_errors(folder / "errors.png", comparison)
    frames, some_truths, some_found = zip(*shown, strict=True)
    plots.plot_examples(folder / "example_frames.png", frames, some_truths, some_found, setup, names)
