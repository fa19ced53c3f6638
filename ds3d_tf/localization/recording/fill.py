"""A recording's table as it fills: progress, interruptions, what is left of a job that fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError, ServerError, argument
from ds3d_tf.common.files import put_in_place, refuse_existing, whole_file
from ds3d_tf.common.interrupt import PatientInterrupt
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.localization.recording.batches import Finished

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.source import FrameSource
    from ds3d_tf.localization.tables.growing import GrowingTable


@dataclass(frozen=True)
class LocalizedRecording:
    """What became of a recording.

    ``resumed_at`` frames had been done by an earlier, interrupted run; ``seconds`` is the time of this one;
    ``damaged`` holds one sentence for each frame skipped.
    """

    table: Path
    frames: int
    localizations: int
    median_confidence: float | None
    seconds: float
    resumed_at: int
    damaged: list[str] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return what :meth:`from_facts` needs beside the table's name, for JSON."""
        return {
            "frames": self.frames,
            "localizations": self.localizations,
            "median_confidence": self.median_confidence,
            "damaged": self.damaged,
            "figures": [str(path) for path in self.figures],
        }

    @classmethod
    def from_facts(cls, table: Path, facts: Mapping[str, Any]) -> LocalizedRecording:
        """Return the result of a job that had ended; raises KeyError for other facts."""
        frames, median = int(facts["frames"]), facts["median_confidence"]
        figures = [Path(name) for name in facts["figures"]]
        damaged, count = list(facts["damaged"]), int(facts["localizations"])
        return cls(table, frames, count, median, 0.0, frames, damaged, figures)

    def summary(self) -> str:
        """Return what a person wants to know about it, a few lines."""
        done = self.frames - self.resumed_at
        each = self.localizations / max(self.frames - len(self.damaged), 1)
        lines = [
            f"{self.localizations} localizations in {self.frames} frames ({each:.3g} a frame)"
            + ("" if self.median_confidence is None else f", median confidence {self.median_confidence:.0f}"),
            f"{done} frames in {self.seconds:.1f} s ({done / max(self.seconds, 1e-9):.3g} frames/s)"
            + (f" after {self.resumed_at} of an earlier run" if self.resumed_at else ""),
        ]
        if self.damaged:
            lines.append(f"{len(self.damaged)} damaged frames skipped, listed in {self.table.with_suffix('.log')}")
        lines.append(f"table: {self.table}")
        if self.figures:
            lines.append(f"figures: {self.figures[0].parent}/")
        return "\n".join(lines)


def fill_table(
    finished: Iterator[Finished],
    source: FrameSource,
    table: GrowingTable,
    setup: Any,
    out: Path,
    draw: Callable[[Path], list[Path]] | None = None,
    progress: Progress = no_progress,
    notes: Mapping[str, Any] | None = None,
) -> LocalizedRecording:
    """Add finished frames to a growing table as they come, then make the table ``out`` of it.

    ``setup`` is the model's; ``draw`` makes figures of the file of rows before it is gone; ``notes`` (JSON), if
    given, are written beside the table, in ``NAME.refined.json``.
    Raises InputError as the frames do, or for a disk that is full; the finished frames are kept.
    """
    from ds3d_tf.localization.tables.formats import median_confidence, prepared_table

    resumed_at, begin = table.next_frame, time.perf_counter()
    _run(finished, source, table, setup, progress)
    seconds = time.perf_counter() - begin
    table.commit()
    confidence = median_confidence(table.rows_file)
    drawn = draw(table.rows_file) if draw else []
    _write_log(out, table.damaged)
    if notes is not None:
        with whole_file(out.with_suffix(".refined.json")) as temporary:
            temporary.write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
    result = LocalizedRecording(
        table=out,
        frames=len(source),
        localizations=table.rows,
        median_confidence=confidence,
        seconds=seconds,
        resumed_at=resumed_at,
        damaged=list(table.damaged.values()),
        figures=drawn,
    )
    with prepared_table(table.rows_file, out, source.shape, setup, len(source)) as files:
        table.finishing(files, result.facts())
        put_in_place(files)
    table.discard()
    return result


def check_outputs(out: str | Path, overwrite: bool) -> Path:
    """Return the name of a table if it and its companion may be written.

    What a killed process of the same job had already put there is no obstacle. Raises InputError.
    """
    from ds3d_tf.localization.tables.formats import check_table_name, companion_file
    from ds3d_tf.localization.tables.growing import check_partial, put_in_place_before

    out = Path(out)
    check_table_name(out)
    ours = set() if overwrite else put_in_place_before(out)[0]
    if not overwrite:
        check_partial(out)
    for path in (out, companion_file(out)):
        if path is not None:
            refuse_existing(path, overwrite or path in ours)
    return out


def finished_by_a_killed_process(out: Path, overwrite: bool, identity: Mapping[str, Any]) -> LocalizedRecording | None:
    """Return the result of this job if it was killed when only its partial files were still to be removed, else None.

    Raises InputError if it was another job that left the table ``out``.
    """
    from ds3d_tf.localization.tables.growing import discard_partial, put_in_place_before

    facts = None if overwrite else put_in_place_before(out)[1]
    if facts is None:
        return None
    if facts["identity"] != json.loads(json.dumps(dict(identity))):
        raise InputError(f"{out} exists; choose another name or add --overwrite")
    discard_partial(out)
    return LocalizedRecording.from_facts(out, facts)


def _run(
    finished: Iterator[Finished], source: FrameSource, table: GrowingTable, setup: Any, progress: Progress
) -> None:
    """Add the rows of finished frames to the table as they come."""
    messages = console.messages()
    if table.next_frame:
        messages.print(f"resuming at frame {table.next_frame + 1} of {len(source)}")
    try:
        with PatientInterrupt() as interrupt:
            progress("localizing", table.next_frame, len(source))
            for part in finished:
                for reason in part.damaged.values():
                    messages.print(f"skipped: {reason}", soft_wrap=True)
                if part.localizations is not None:
                    table.append(part.localizations.to_dataframe(), part.next_frame, part.damaged, part.checksums)
                progress("localizing", part.next_frame, len(source))
                interrupt.check()
    except KeyboardInterrupt:
        table.commit()
        messages.print(f"stopped after frame {table.next_frame}; run the same command again to resume", soft_wrap=True)
        raise
    except InputError as error:
        # Nothing is left of a job that failed at once; one that ran for long keeps what it has.
        if not table.on_disk or "cannot write" in str(error):
            raise
        table.commit()
        hint = "" if isinstance(error, ServerError) else f" ({argument('skip_damaged')} skips damaged frames)"
        kept = f"the {table.next_frame} frames before it are kept; run the same command again to resume{hint}"
        raise InputError(f"{error.marked}; {kept}") from error


def _write_log(out: Path, damaged: dict[int, str]) -> None:
    """Name the frames skipped in a log beside the table, if there are any."""
    if damaged:
        lines = [f"frame {index + 1} skipped: {reason}" for index, reason in sorted(damaged.items())]
        with whole_file(out.with_suffix(".log")) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
