"""A table that grows while a recording is localized, and is resumed where a killed process stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import open_no_link, whole_file
from ds3d_tf.common.texts import checked_fields, load_json
from ds3d_tf.localization.tables.tables import COLUMNS, csv_text

_SECONDS_BETWEEN_COMMITS = 5.0
_MAX_SAMPLED = 512


class GrowingTable:
    """Rows of finished frames in ``NAME.partial.csv``, with ``NAME.partial.json`` saying how far it is valid.

    Rows reach the disk in chunks of finished frames; what a killed process wrote beyond its last chunk is cut off
    when the same job opens the table again. ``next_frame`` is the index of the first frame still to do and
    ``damaged`` names the frames skipped. ``chain`` is a running checksum of the frames done, and ``sampled`` holds the
    checksums of some of them by index.
    """

    def __init__(
        self,
        out: str | Path,
        identity: Mapping[str, Any],
        *,
        columns: tuple[str, ...] = COLUMNS,
        overwrite: bool = False,
        seconds: float | None = None,
        may_grow: tuple[str, ...] = (),
        files: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the table of ``out``, or resume it.

        Args:
            out: name of the finished table; the partial one lies beside it.
            identity: facts (JSON) that make two jobs the same: recording, model, options.
            columns: names of its columns.
            overwrite: start again if the partial table is of another job.
            seconds: least time between chunks on disk.
            may_grow: facts of the identity that may be larger numbers than before.
            files: how the recording's files are; :attr:`files_before` is what the chunk on disk knew of them.

        Raises:
            InputError: the partial table is of another job and ``overwrite`` is false, or cannot be read.
        """
        out = Path(out)
        self.rows_file = out.with_name(f"{out.stem}.partial.csv")
        self.state_file = out.with_name(f"{out.stem}.partial.json")
        self.next_frame = 0
        self.rows = 0
        self.damaged: dict[int, str] = {}
        self.chain = ""
        self.sampled: dict[int, int] = {}
        self.files_before: dict[str, Any] = {}
        self._files = dict(files or {})
        self._may_grow = may_grow
        self._every = 1
        self._digest = hashlib.blake2b(digest_size=16)
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

    def append(
        self,
        rows: pd.DataFrame,
        next_frame: int,
        damaged: Mapping[int, str] | None = None,
        checksums: Sequence[int] = (),
    ) -> None:
        """Add the rows of finished frames; ``next_frame`` is the index of the first frame still to do.

        ``checksums`` are those of the frames that are new. Raises InputError if the disk is full; the table stays valid
        up to its last chunk.
        """
        self._waiting.append(csv_text(rows, header=False))
        self.rows += len(rows)
        first = next_frame - len(checksums)
        chain = bytes.fromhex(self.chain)
        for index, value in enumerate(checksums, start=first):
            chain = chained(chain, value)
            if index % self._every == 0:
                self.sampled[index] = value
        self.chain = chain.hex()
        while len(self.sampled) > _MAX_SAMPLED:
            self._every *= 2
            self.sampled = {index: value for index, value in self.sampled.items() if index % self._every == 0}
        self.next_frame = next_frame
        self.damaged.update(damaged or {})
        if time.monotonic() - self._last_commit >= self._seconds:
            self.commit()

    def commit(self) -> None:
        """Bring all rows to the disk; raises InputError if it is full."""
        text = "".join(self._waiting)
        if not self._bytes:
            text = ",".join(self._columns) + "\n" + text
        content = text.encode()
        digest = self._digest.copy()
        digest.update(content)
        try:
            self.rows_file.parent.mkdir(parents=True, exist_ok=True)
            with open_no_link(self.rows_file, "r+b" if self._bytes else "wb") as stream:
                stream.seek(self._bytes)
                stream.write(content)
                stream.truncate()
                stream.flush()
                os.fsync(stream.fileno())
            self._write_state(self._bytes + len(content), digest.hexdigest())
        except (OSError, InputError) as error:
            self._cut_back()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            kept = (
                f"{self.rows_file} holds what was finished before, and the same command resumes from there"
                if self._bytes
                else "nothing is kept"
            )
            raise InputError(f"cannot write {self.rows_file}: {reason}; {kept}") from error
        self._bytes += len(content)
        self._digest = digest
        self._waiting.clear()
        self._last_commit = time.monotonic()

    def finishing(self, files: Mapping[Path, Path], result: Mapping[str, Any]) -> None:
        """Record which files are about to take their names, so that a killed process leaves nothing in doubt.

        ``files``: name → file; ``result``: what :func:`finished_before` shall return.
        """
        digests = {target.name: digest_of(file) for target, file in files.items()}
        self._write_state(self._bytes, self._digest.hexdigest(), {"files": digests, "result": dict(result)})

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

    def _write_state(self, valid_bytes: int, digest: str, finishing: Mapping[str, Any] | None = None) -> None:
        state = {
            "valid_bytes": valid_bytes,
            "digest": digest,
            "rows": self.rows,
            "next_frame": self.next_frame,
            "damaged": {str(index): reason for index, reason in self.damaged.items()},
            "frames": {"chain": self.chain, "every": self._every, "sampled": list(self.sampled.items())},
            "files": self._files,
            "identity": self._identity,
            **({"finishing": finishing} if finishing else {}),
        }
        with whole_file(self.state_file) as temporary, open(temporary, "w", encoding="utf-8") as stream:
            json.dump(state, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())

    def _resume(self, out: Path, overwrite: bool) -> None:
        for path in (self.rows_file, self.state_file):
            if path.is_symlink():
                raise InputError(f"{path} is a link, which is not followed; remove it")
        # Without its state a partial table is nobody's: it came from a process killed during its first chunk.
        if not (self.state_file.exists() and self.rows_file.exists()):
            return
        try:
            state = read_state(self.state_file)
            digest = self._digest_of_rows(state["valid_bytes"])
            reason = None if digest.hexdigest() == state["digest"] else "its rows have changed"
            reason = self._other_job(state["identity"]) or reason
        except InputError as error:
            state, reason = {}, error.marked.removeprefix(f"{self.state_file}: ")
        if reason and overwrite:
            self.discard()
        elif reason:
            raise InputError(
                f"{self.rows_file} is the unfinished table of another job ({reason}), which {out} would continue; "
                f"choose another name, remove it, or add --overwrite"
            )
        else:
            self._bytes, self._digest = state["valid_bytes"], digest
            self.rows, self.next_frame = state["rows"], state["next_frame"]
            self.damaged, self.files_before = state["damaged"], state["files"]
            frames = state["frames"]
            self.chain, self._every, self.sampled = frames["chain"], frames["every"], frames["sampled"]

    def _other_job(self, other: Mapping[str, Any]) -> str | None:
        """Return what makes this another job than that of an identity, or None."""
        for key in sorted({*other, *self._identity}):
            before, now = other.get(key), self._identity.get(key)
            if before == now:
                continue
            grown = isinstance(before, int) and isinstance(now, int) and now > before
            if grown and key in self._may_grow:
                continue
            hint = f", which was {before} and is {now}; {argument('grown')} goes on with it" if grown else ""
            return f"of another {key}{hint if key == 'number of frames' else ''}"
        return None

    def _digest_of_rows(self, valid_bytes: int) -> Any:
        """Return the running checksum of the rows on disk; raises InputError if some are missing."""
        digest = hashlib.blake2b(digest_size=16)
        left = valid_bytes
        try:
            with open_no_link(self.rows_file, "rb") as stream:
                while left > 0 and (part := stream.read(min(left, 2**20))):
                    digest.update(part)
                    left -= len(part)
        except OSError as error:
            raise InputError(f"it cannot be read: {error.strerror or error}") from error
        if left:
            raise InputError("damaged: rows are missing")
        return digest


def digest_of(path: Path) -> str:
    """Return a checksum of a file; raises OSError."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def put_in_place_before(out: str | Path) -> tuple[set[Path], dict[str, Any] | None]:
    """Return the files that a killed process had already given their names, whole, and its result if all were.

    A file of the same name and other content is somebody else's.
    """
    out = Path(out)
    state_file = out.with_name(f"{out.stem}.partial.json")
    if not state_file.is_file() or state_file.is_symlink():
        return set(), None
    try:
        state = load_json(state_file)
        finishing = state["finishing"]
        digests, result = dict(finishing["files"]), {**finishing["result"], "identity": state["identity"]}
        ours = {out.with_name(name) for name in digests}
        there = {path for path in ours if path.is_file() and digest_of(path) == digests[path.name]}
    except (InputError, KeyError, TypeError, ValueError, OSError):
        return set(), None
    return there, result if there == ours and out in there else None


def check_partial(out: Path) -> None:
    """Raise InputError if the state of a partial table of ``out`` is damaged: said before anything is loaded."""
    state_file = out.with_name(f"{out.stem}.partial.json")
    if state_file.is_file() and out.with_name(f"{out.stem}.partial.csv").is_file():
        try:
            read_state(state_file)
        except InputError as error:
            raise InputError(
                f"{error.marked}; {out} would continue the table that belongs to it: choose another name, remove both, "
                "or add --overwrite"
            ) from error


def discard_partial(out: str | Path) -> None:
    """Remove what is left of the partial table of ``out``."""
    out = Path(out)
    for ending in ("csv", "json"):
        out.with_name(f"{out.stem}.partial.{ending}").unlink(missing_ok=True)


def chained(before: bytes, value: int) -> bytes:
    """Return the running checksum of frames after one more, given that of the frames before it (b"": none)."""
    return hashlib.blake2b(before + value.to_bytes(4, "little"), digest_size=16).digest()


def read_state(path: Path) -> dict[str, Any]:
    """Return what the state file of a partial table says, checked; raises InputError if it is damaged."""
    kinds = {
        "valid_bytes": int,
        "digest": str,
        "rows": int,
        "next_frame": int,
        "damaged": dict,
        "frames": dict,
        "files": dict,
        "identity": dict,
    }
    state = checked_fields(load_json(path), kinds, str(path), "of an earlier version, or changed")
    frames = checked_fields(state["frames"], {"chain": str, "every": int, "sampled": list}, str(path), "changed")
    try:
        bytes.fromhex(frames["chain"])
        sampled = {int(index): int(value) for index, value in frames["sampled"]}
        damaged = {int(index): str(reason) for index, reason in state["damaged"].items()}
        if min(state["valid_bytes"], state["rows"], state["next_frame"], *sampled, 0) < 0 or frames["every"] < 1:
            raise ValueError("negative")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged") from error
    return {**state, "damaged": damaged, "frames": {**frames, "sampled": sampled}}
