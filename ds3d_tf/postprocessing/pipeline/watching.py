"""A recording that is still being written: its new frames are localized as they come."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.progress import Progress, no_progress

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.source import FrameSource
    from ds3d_tf.localization.tables.growing import GrowingTable
    from ds3d_tf.options import LocalizeOptions


def follow(
    model: str,
    frames: str,
    out: Path,
    options: LocalizeOptions,
    interval_s: float,
    patience_s: float,
    progress: Progress = no_progress,
) -> Iterator[tuple[GrowingTable, FrameSource]]:
    """Localize the frames of a growing recording; yields after every ``interval_s`` in which some came, and at the end.

    The newest frame is left until the recording has stopped growing, for it may not be whole. The end has come when
    nothing was added for ``patience_s``. The table's rows are on the disk when it is yielded. Refinement takes the
    noise that the frames show which are there at the beginning.

    Raises InputError for a model, option or output that cannot be used, or if no recording appears.
    """
    from ds3d_tf.localization.localizer import Localizer, checked_options
    from ds3d_tf.localization.recording.batches import Work, localized_here
    from ds3d_tf.localization.recording.identity import open_table
    from ds3d_tf.localization.tables.tables import COLUMNS, REFINED_COLUMNS
    from ds3d_tf.refinement.refiner import RefineOptions, make_refiner, with_the_noise_of

    source = _first(frames, patience_s, min(interval_s, 1.0))
    localizer = Localizer(model, memory_gb=options.memory_gb, precision=options.precision)
    localizer.check_shape(source.shape, frames)
    threshold, radius_voxels = checked_options(localizer.setup, options.threshold, options.radius_voxels)
    batch_size = options.batch_size or localizer.batch_size(source.shape)
    refiner, _ = make_refiner(options.refine, localizer.setup, localizer.mask_rad, RefineOptions(options.false_alarms))
    work = Work(
        str(localizer.path),
        frames,
        threshold,
        radius_voxels,
        batch_size,
        options.skip_damaged,
        options.memory_gb,
        options.precision,
        refiner,
    )
    identity = {
        "model": localizer.fingerprint(),
        "threshold": threshold,
        "radius": radius_voxels,
        "precision": options.precision,
        "false alarms": options.false_alarms if refiner else None,
    }
    columns = COLUMNS + (REFINED_COLUMNS if refiner else ())
    table = open_table(out, identity, frames, source, columns=columns, overwrite=True, grown=True)
    if refiner:
        refiner, _ = with_the_noise_of(source, refiner, localizer.setup, localizer.mask_rad, progress)
        work = replace(work, refine=refiner)
    shown, seen, last_growth = -1, table.next_frame, time.monotonic()
    while True:
        begin = time.monotonic()
        with contextlib.suppress(InputError):  # a file in the middle of being written
            source = _open(frames)
        grown = len(source) > seen
        seen = max(seen, len(source))
        last_growth = begin if grown else last_growth
        at_end = begin - last_growth >= patience_s
        stop = seen if at_end else seen - 1
        if stop > table.next_frame:
            for part in localized_here(work, source, localizer, table.next_frame, stop):
                if part.localizations is not None:
                    table.append(part.localizations.to_dataframe(), part.next_frame, part.damaged, part.checksums)
                progress("localizing", part.next_frame, None)
        if table.next_frame > max(shown, 0):
            table.commit()
            shown = table.next_frame
            yield table, source
        if at_end:
            return
        pause = min(interval_s, patience_s / 4)
        time.sleep(max(0.0, pause - (time.monotonic() - begin)))


def _open(frames: str) -> FrameSource:
    from ds3d_tf.localization.frames.source import open_frames

    return open_frames(frames)


def _first(frames: str, patience_s: float, pause_s: float) -> FrameSource:
    """Return the recording as soon as it can be read; raises InputError if it never can."""
    begin = time.monotonic()
    while True:
        try:
            return _open(frames)
        except InputError:
            if time.monotonic() - begin > patience_s:
                raise
        time.sleep(pause_s)
