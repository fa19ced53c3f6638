"""One evaluation: a model localizes frames whose emitters are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.outputs import check_folder, output_folder

if TYPE_CHECKING:
    from ds3d_tf.evaluation.truth import FrameTruth
    from ds3d_tf.localization.localizer import Localizer


EXAMPLE_FRAMES = 6
EVALUATION_FILES = (
    "metrics.json",
    "localizations.csv",
    "truth.csv",
    "by_emitter_number.png",
    "by_depth.png",
    "errors.png",
    "example_frames.png",
)


@dataclass(frozen=True)
class Evaluation:
    """Figures of merit (docs/evaluation.md) and the folder that holds them and their plots."""

    folder: Path
    figures: dict[str, Any]

    def summary(self) -> str:
        """Return the main figures as a few lines."""
        from ds3d_tf.evaluation.report import summary

        return f"{summary(self.figures)}\nfigures: {self.folder}/"


def evaluate(
    model: str | Path,
    out: str | Path,
    *,
    count: int = 100,
    seed: int = 1,
    emitter_count: int | None = None,
    frames: str | Path | None = None,
    truth: str | Path | None = None,
    threshold: float | None = None,
    radius_voxels: int | None = None,
    label_threshold: float | None = None,
    tolerance_nm: float = 100.0,
    batch_size: int | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Evaluate a model on fresh simulated frames, or on ``frames`` with the table ``truth`` of their emitters.

    ``threshold`` (confidence), ``radius_voxels`` and ``label_threshold`` (photons) are the model's own if None.
    Writes ``metrics.json``, ``localizations.csv``, ``truth.csv`` and figures into the folder ``out``.

    Raises InputError for a model, frames, truth, option or output that cannot be used.
    """
    out = check_folder(out, overwrite, "evaluate")
    _check(count, emitter_count, frames, truth, label_threshold, tolerance_nm, batch_size)

    from ds3d_tf.evaluation.comparison import compare
    from ds3d_tf.evaluation.metrics import metrics
    from ds3d_tf.localization.localizer import Localizer, checked_options

    localizer = Localizer(model)
    setup = localizer.setup
    threshold, radius_voxels = checked_options(setup, threshold, radius_voxels)
    if label_threshold is None:
        label_threshold = setup.signal.label_threshold
    if frames is not None and truth is not None:
        total, examples = _recorded(localizer, frames, truth, label_threshold)
    else:
        total, examples = count, _simulated(setup, count, seed, emitter_count, label_threshold)

    shown: list[tuple[np.ndarray, FrameTruth, np.ndarray]] = []
    truths: list[FrameTruth] = []
    found: list[np.ndarray] = []
    stride = max(total // EXAMPLE_FRAMES, 1)
    with console.progress("frames") as bar:
        task = bar.add_task("evaluating", total=total)
        for stack, some_truths in _batches(examples, localizer, batch_size):
            some_found = localizer.localize(stack, threshold, radius_voxels)
            for frame, one_truth, one_found in zip(stack, some_truths, some_found, strict=True):
                if len(truths) % stride == 0 and len(shown) < EXAMPLE_FRAMES:
                    shown.append((frame, one_truth, one_found[:, :3]))
                truths.append(one_truth)
                found.append(one_found)
            bar.update(task, completed=len(truths))

    comparison = compare(
        [one.targets_um for one in truths],
        [one[:, :3] for one in found],
        [len(one.photons) for one in truths],
        tolerance_nm / 1000,
    )
    figures = {
        "model": str(model),
        "data": f"{frames}, {truth}" if frames is not None else f"{count} simulated frames, seed {seed}",
        "threshold": threshold,
        "radius_voxels": radius_voxels,
        "label_threshold_photons": label_threshold,
        **metrics(comparison, (setup.volume.z_min_um, setup.volume.z_max_um)),
    }
    names = [f"frame {index * stride + 1}" for index in range(len(shown))]
    with output_folder(out, overwrite, "evaluate") as folder:
        _write(folder, figures, comparison, truths, found, shown, names, setup)
    return Evaluation(out, figures)


def _check(
    count: int,
    emitter_count: int | None,
    frames: str | Path | None,
    truth: str | Path | None,
    label_threshold: float | None,
    tolerance_nm: float,
    batch_size: int | None,
) -> None:
    if (frames is None) != (truth is None):
        given, other = ("--frames", "--truth") if truth is None else ("--truth", "--frames")
        raise InputError(f"{given} needs {other} as well: frames and the table of their emitters")
    if count < 1:
        raise InputError(f"--count {count}: expected 1 frame or more")
    if emitter_count is not None and emitter_count < 0:
        raise InputError(f"--emitters {emitter_count}: expected 0 or more")
    if label_threshold is not None and not label_threshold >= 0:
        raise InputError(f"--label-threshold {label_threshold:g}: expected 0 photons or more")
    if not tolerance_nm > 0:
        raise InputError(f"--tolerance {tolerance_nm:g}: expected a positive number of nm")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"--batch {batch_size}: expected 1 or more")


def _recorded(
    localizer: Localizer, frames: str | Path, truth: str | Path, label_threshold: float | None
) -> tuple[int, Iterator[tuple[np.ndarray, FrameTruth]]]:
    from ds3d_tf.evaluation.truth import read_truth
    from ds3d_tf.localization.frames.source import open_frames

    source = open_frames(frames)
    localizer.check_shape(source.shape, str(frames))
    truths = read_truth(truth, len(source), label_threshold)
    return len(source), zip(source, truths, strict=True)


def _simulated(
    setup: Any, count: int, seed: int, emitter_count: int | None, label_threshold: float | None
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


def _write(
    folder: Path,
    figures: dict[str, Any],
    comparison: Any,
    truths: list[FrameTruth],
    found: list[np.ndarray],
    shown: list[tuple[np.ndarray, FrameTruth, np.ndarray]],
    names: list[str],
    setup: Any,
) -> None:
    from ds3d_tf.evaluation import plots
    from ds3d_tf.evaluation.report import write_metrics
    from ds3d_tf.evaluation.truth import truth_table
    from ds3d_tf.localization.tables.tables import to_table, write_table

    write_metrics(folder / "metrics.json", figures)
    numbers = np.repeat(np.arange(1, len(found) + 1), [len(rows) for rows in found])
    rows = np.concatenate(found)
    table = to_table(numbers, rows[:, :3], rows[:, 3], shown[0][0].shape, setup)
    write_table(folder / "localizations.csv", table)
    truth_table(truths).to_csv(folder / "truth.csv", index=False, float_format="%.6f", lineterminator="\n")
    plots.plot_by_emitter_number(folder / "by_emitter_number.png", figures)
    plots.plot_by_depth(folder / "by_depth.png", figures)
    plots.plot_errors(folder / "errors.png", comparison)
    frames, some_truths, some_found = zip(*shown, strict=True)
    plots.plot_examples(folder / "example_frames.png", frames, some_truths, some_found, setup, names)
