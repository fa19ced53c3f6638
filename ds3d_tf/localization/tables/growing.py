"""A table that grows while a recording is localized, and is resumed where a killed process stopped."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_file
from ds3d_tf.localization.tables.tables import COLUMNS, csv_text

_SECONDS_BETWEEN_COMMITS = 5.0


class GrowingTable:
    """Rows of finished frames in ``NAME.partial.csv``, with ``NAME.partial.json`` saying how far it is valid.

    Rows reach the disk in chunks of finished frames; what a killed process wrote beyond its last chunk is cut off
    when the same job opens the table again. ``next_frame`` is the index of the first frame still to do and
    ``damaged`` names the frames skipped.
    """

    def __init__(
        self,
        out: str | Path,
        identity: Mapping[str, Any],
        *,
        columns: tuple[str, ...] = COLUMNS,
        overwrite: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Start the table of ``out``, or resume it.

        Args:
            out: name of the finished table; the partial one lies beside it.
            identity: facts (JSON) that make two jobs the same: recording, model, options.
            columns: names of its columns.
            overwrite: start again if the partial table is of another job.
            seconds: least time between chunks on disk.

        Raises:
            InputError: the partial table is of another job and ``overwrite`` is false, or cannot be read.
        """
        out = Path(out)
        self.rows_file = out.with_name(f"{out.stem}.partial.csv")
        self.state_file = out.with_name(f"{out.stem}.partial.json")
        self.next_frame = 0
        self.rows = 0
        self.damaged: dict[int, str] = {}
        self._columns = columns
        self._identity = json.loads(json.dumps(dict(identity)))
        default = float(os.environ.get("DS3D_SECONDS_BETWEEN_CHUNKS", _SECONDS_BETWEEN_COMMITS))
        self._seconds = default if seconds is None else seconds
        self._bytes = 0
        self._waiting: list[str] = []
        self._last_commit = time.monotonic()
        self._resume(out, overwrite)

    @property
    def on_disk(self) -> bool:
        """Whether a chunk is on disk, from which the same job would resume."""
        return self._bytes > 0

    def append(self, rows: pd.DataFrame, next_frame: int, damaged: Mapping[int, str] | None = None) -> None:
        """Add the rows of finished frames; ``next_frame`` is the index of the first frame still to do.

        Raises InputError if the disk is full; the table stays valid up to its last chunk.
        """
        self._waiting.append(csv_text(rows, header=False))
        self.rows += len(rows)
        self.next_frame = next_frame
        self.damaged.update(damaged or {})
        if time.monotonic() - self._last_commit >= self._seconds:
            self.commit()

    def commit(self) -> None:
        """Bring all rows to the disk; raises InputError if it is full."""
        text = "".join(self._waiting)
        if not self._bytes:
            text = ",".join(self._columns) + "\n" + text
        try:
            self.rows_file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.rows_file, "r+b" if self._bytes else "wb") as stream:
                stream.seek(self._bytes)
                stream.write(text.encode())
                stream.truncate()
                stream.flush()
                os.fsync(stream.fileno())
            self._write_state(self._bytes + len(text.encode()))
        except (OSError, InputError) as error:
            self._cut_back()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            kept = (
                f"{self.rows_file} holds what was finished before, and the same command resumes from there"
                if self._bytes
                else "nothing is kept"
            )
            raise InputError(f"cannot write {self.rows_file}: {reason}; {kept}") from error
        self._bytes += len(text.encode())
        self._waiting.clear()
        self._last_commit = time.monotonic()

    def discard(self) -> None:
        """Remove the partial table."""
        self.rows_file.unlink(missing_ok=True)
        self.state_file.unlink(missing_ok=True)

    def _cut_back(self) -> None:
        """Leave the table as its last chunk left it, so that it can be read."""
        with contextlib.suppress(OSError):
            if self._bytes:
                os.truncate(self.rows_file, self._bytes)
            else:
                self.discard()

    def _write_state(self, valid_bytes: int) -> None:
        state = {
            "valid_bytes": valid_bytes,
            "rows": self.rows,
            "next_frame": self.next_frame,
            "damaged": {str(index): reason for index, reason in self.damaged.items()},
            "identity": self._identity,
        }
        with whole_file(self.state_file) as temporary, open(temporary, "w", encoding="utf-8") as stream:
            json.dump(state, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())

    def _resume(self, out: Path, overwrite: bool) -> None:
        # Without its state a partial table is nobody's: it came from a process killed during its first chunk.
        if not (self.state_file.exists() and self.rows_file.exists()):
            return
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
            other = state["identity"]
            size = self.rows_file.stat().st_size
            valid = state["valid_bytes"] <= size
        except (OSError, ValueError, KeyError, TypeError):
            state, other, valid = {}, {}, False
        differing = sorted(key for key in {*other, *self._identity} if other.get(key) != self._identity.get(key))
        if overwrite and (differing or not valid):
            self.discard()
        elif differing or not valid:
            what = f"of another {differing[0]}" if other and differing else "damaged"
            raise InputError(
                f"{self.rows_file} is the unfinished table of another job ({what}), which {out} would continue; "
                "choose another name, remove it, or add --overwrite"
            )
        else:
            self._bytes = state["valid_bytes"]
            self.rows = state["rows"]
            self.next_frame = state["next_frame"]
            self.damaged = {int(index): reason for index, reason in state["damaged"].items()}
