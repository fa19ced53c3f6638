"""A recording that is still being written: its new frames are localized as they come."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
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
    from ds3d_tf.localization.recording.batches import localized_here
    from ds3d_tf.localization.recording.identity import open_table
    from ds3d_tf.refinement.preparation import prepare

    source = _first(frames, options, patience_s, min(interval_s, 1.0))
    job = prepare(model, frames, source, options)
    table = open_table(out, job.identity, frames, source, columns=job.columns, overwrite=True, grown=True)
    job, _ = job.with_noise(source, progress)
    shown, seen, last_growth = -1, table.next_frame, time.monotonic()
    while True:
        begin = time.monotonic()
        with contextlib.suppress(InputError):  # a file in the middle of being written
            source = _open(frames, options)
        grown = len(source) > seen
        seen = max(seen, len(source))
        last_growth = begin if grown else last_growth
        at_end = begin - last_growth >= patience_s
        stop = seen if at_end else seen - 1
        if stop > table.next_frame:
            for part in localized_here(job.work, source, job.localizer, table.next_frame, stop):
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


def _open(frames: str, options: LocalizeOptions) -> FrameSource:
    from ds3d_tf.localization.frames.source import open_frames

    # A recording that grows has an unfinished end all the time: its remarks are not told.
    return open_frames(frames, options.skip_damaged, position=options.position, channel=options.channel)


def _first(frames: str, options: LocalizeOptions, patience_s: float, pause_s: float) -> FrameSource:
    """Return the recording as soon as it can be read; raises InputError if it never can."""
    begin = time.monotonic()
    while True:
        try:
            return _open(frames, options)
        except InputError:
            if time.monotonic() - begin > patience_s:
                raise
        time.sleep(pause_s)
