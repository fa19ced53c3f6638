"""The job of `ds3d localize`: a recording in, a table of molecules out."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.lock import only_process
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.localization.recording.batches import Work, check_dask, localized_by_dask, localized_here
from ds3d_tf.localization.recording.fill import (
    LocalizedRecording,
    check_outputs,
    fill_table,
    finished_by_a_killed_process,
)
from ds3d_tf.options import LocalizeOptions

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.source import FrameSource
    from ds3d_tf.localization.localizer import Localizer
    from ds3d_tf.localization.tables.growing import GrowingTable

PLOTTED_FRAMES = 3


@takes_options(LocalizeOptions)
def localize(
    model: str | Path,
    frames: str | Path,
    out: str | Path,
    options: LocalizeOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> LocalizedRecording:
    """Localize the emitters of a recording into a table; an interrupted job is resumed when it is started again.

    Args:
        model: a model in any format of this package, or the name of a shipped one.
        frames: recording, in any form that ``open_frames`` reads.
        out: table to write.
        options: see :class:`~ds3d_tf.options.LocalizeOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier table.
        progress: told how many frames are done.

    Raises InputError for a model, recording, option or output that cannot be used.
    """
    out = check_outputs(out, overwrite)
    figures = out.with_name(f"{out.stem}_plots") if options.plots else None
    if figures is not None:
        check_folder(figures, overwrite, "localize")
    if options.dask is not None:
        check_dask(options.dask)

    from ds3d_tf.localization.recording.opening import open_recording

    source = open_recording(frames, options, keep_damaged=options.skip_damaged)

    from ds3d_tf.localization.recording.identity import open_table, recording_facts
    from ds3d_tf.refinement.preparation import check_context, prepare

    job = prepare(model, frames, source, options)
    check_context(job.localizer, frames, len(source))
    with only_process(out.with_name(f"{out.stem}.partial.lock"), str(out)):
        facts = recording_facts(job.identity, frames, source)
        done = finished_by_a_killed_process(out, overwrite, facts)
        if done is not None:
            return done
        table = open_table(
            out, job.identity, frames, source, columns=job.columns, overwrite=overwrite, grown=options.grown
        )
        job, notes = job.with_noise(source, progress)
        return _localize(job.work, source, job.localizer, table, out, figures, options.dask, progress, notes)


def _localize(
    work: Work,
    source: FrameSource,
    localizer: Localizer,
    table: GrowingTable,
    out: Path,
    figures: Path | None,
    dask: str | None,
    progress: Progress,
    notes: dict[str, Any] | None,
) -> LocalizedRecording:
    if dask is None:
        finished = localized_here(work, source, localizer, table.next_frame)
    else:
        finished = localized_by_dask(work, dask, table.next_frame, len(source))
    draw = (lambda rows_file: _draw(figures, localizer, source, rows_file)) if figures else None
    return fill_table(finished, source, table, localizer.setup, out, draw, progress, notes)


def _draw(folder: Path, localizer: Localizer, source: FrameSource, rows_file: Path) -> list[Path]:
    """Draw the first frames with their localizations; of a single frame also the scatter and its regeneration."""
    import pandas as pd

    from ds3d_tf.localization import plots
    from ds3d_tf.localization.regenerate import regenerate
    from ds3d_tf.localization.tables.tables import from_table

    setup, names = localizer.setup, []
    first_frames = itertools.islice(_readable(source), PLOTTED_FRAMES)
    table = pd.read_csv(rows_file)
    with output_folder(folder, True, "localize") as temporary:
        for index, frame in first_frames:
            rows = table[table["frame"] == index + 1]
            _, xyz_um, confidence = from_table(rows, source.shape, setup)
            names.append(f"frame_{index + 1}.png")
            title = f"{os.path.basename(source.name(index))}: {len(xyz_um)} localizations"
            plots.plot_overlay(temporary / names[-1], frame, xyz_um, setup, title)
            if len(names) == 1:  # of the first frame, also in three dimensions, and what is left of it
                names += ["scatter.png", "regenerated.png"]
                plots.plot_scatter(temporary / "scatter.png", xyz_um, confidence, source.shape, setup, title)
                again = regenerate(frame, xyz_um, setup, localizer.mask_rad)
                plots.plot_regenerated(temporary / "regenerated.png", frame, again, setup)
    return [folder / name for name in names]


def _readable(source: FrameSource) -> Iterator[tuple[int, np.ndarray]]:
    for index in range(len(source)):
        with contextlib.suppress(InputError):
            yield index, source.read(index)
