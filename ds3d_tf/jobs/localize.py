"""The job of `ds3d localize`: a recording in, a table of molecules out."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.lock import only_process
from ds3d_tf.common.machine import has_bfloat16_units
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
    shape = source.shape

    from ds3d_tf.localization.localizer import Localizer, checked_options
    from ds3d_tf.localization.recording.identity import open_table, recording_facts
    from ds3d_tf.localization.tables.tables import COLUMNS, REFINED_COLUMNS
    from ds3d_tf.refinement.refiner import RefineOptions, make_refiner, with_the_noise_of

    localizer = Localizer(model, memory_gb=options.memory_gb, precision=options.precision)
    localizer.check_shape(shape, str(frames))
    if len(source) < 2 and localizer.context_frames > 1:
        raise InputError(
            f"{frames}: a single frame, but {localizer.path} sees {localizer.context_frames} frames at once; give a "
            "recording of two frames or more, or a model with learning.context_frames=1"
        )
    threshold, radius_voxels = checked_options(localizer.setup, options.threshold, options.radius_voxels)
    batch_size = options.batch_size or localizer.batch_size(shape)
    localizer.tile_size(shape, batch_size, radius_voxels)
    if options.precision == "bfloat16" and not has_bfloat16_units():
        console.messages().print("this processor has no units for bfloat16; float32 will be faster", soft_wrap=True)
    refiner, why_not = make_refiner(
        options.refine, localizer.setup, localizer.mask_rad, RefineOptions(options.false_alarms)
    )
    if why_not:
        console.messages().print(why_not, soft_wrap=True)
    recording = str(Path(frames).expanduser().absolute())
    work = Work(
        str(localizer.path.absolute()),
        recording,
        threshold,
        radius_voxels,
        batch_size,
        options.skip_damaged,
        options.memory_gb,
        options.precision,
        refiner,
        options.position,
        options.channel,
    )
    identity = {
        "model": localizer.fingerprint(),
        **_chosen(options),
        "threshold": threshold,
        "radius": radius_voxels,
        **({} if options.precision == "float32" else {"precision": options.precision}),
        **({"refined": True, "false alarms": options.false_alarms} if refiner else {}),
    }
    with only_process(out.with_name(f"{out.stem}.partial.lock"), str(out)):
        facts = recording_facts(identity, frames, source)
        done = finished_by_a_killed_process(out, overwrite, facts)
        if done is not None:
            return done
        columns = COLUMNS + REFINED_COLUMNS if refiner else localizer.columns
        table = open_table(out, identity, frames, source, columns=columns, overwrite=overwrite, grown=options.grown)
        notes = None
        if refiner:
            refiner, notes = with_the_noise_of(source, refiner, localizer.setup, localizer.mask_rad, progress)
            work = replace(work, refine=refiner)
        return _localize(work, source, localizer, table, out, figures, options.dask, progress, notes)


def _chosen(options: LocalizeOptions) -> dict[str, str]:
    """Return position and channel as parts of a table's identity, where they are chosen."""
    return {name: value for name in ("position", "channel") if (value := getattr(options, name)) is not None}


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
