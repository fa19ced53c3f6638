"""Which recording an unfinished table is of: its files as they were, and a checksum of the frames that are done."""

from __future__ import annotations

import glob
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.leftovers import sweep
from ds3d_tf.localization.tables.growing import GrowingTable, chained

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.read_ahead import FrameBatch
    from ds3d_tf.localization.frames.source import FrameSource

# Of a recording whose files are unchanged, and of which more bytes than these are done, some frames are compared.
_BYTES_COMPARED = 2 * 10**9
_ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
NUMBER_OF_FRAMES = "number of frames"


def checksums(batch: FrameBatch) -> tuple[int, ...]:
    """Return a checksum for each frame that a batch covers, 0 for a damaged one."""
    found = {index: checksum(frame) for index, frame in zip(batch.indices, batch.frames, strict=True)}
    return tuple(found.get(index, 0) for index in range(batch.first, batch.first + batch.count))


def checksum(frame: np.ndarray) -> int:
    """Return the checksum of one frame.

    Args:
        frame: float32 ``[H, W]`` (row, column), raw counts.
    """
    return zlib.crc32(np.ascontiguousarray(frame).data)


def files_as_they_are(frames: str | Path) -> dict[str, Any]:
    """Return how many files a recording has, and a checksum of their names, sizes and times of change."""
    path = Path(frames).expanduser()
    if path.is_dir():
        marks = [path / name for name in _ZARR_MARKS if (path / name).is_file()]
        files = marks or [file for file in path.iterdir() if not file.name.startswith(".") and file.is_file()]
    elif path.exists():
        files = [path]
    else:
        files = [Path(name) for name in glob.glob(str(path))]
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(files):
        status = file.stat()
        digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return {"count": len(files), "digest": digest.hexdigest()}


def recording_facts(identity: Mapping[str, Any], frames: str | Path, source: FrameSource) -> dict[str, Any]:
    """Return the facts that make two jobs the same: those given, and the recording's name, length and first frame."""
    return {
        "recording": str(Path(frames).expanduser().absolute()),
        NUMBER_OF_FRAMES: len(source),
        "first frame": checksum(source.first()[1]),
        **identity,
    }


def open_table(
    out: Path,
    identity: Mapping[str, Any],
    frames: str | Path,
    source: FrameSource,
    *,
    columns: tuple[str, ...],
    overwrite: bool = False,
    grown: bool = False,
) -> GrowingTable:
    """Start the table of a recording, or resume it if the frames that are done are still those of the recording.

    Args:
        out: name of the finished table.
        identity: facts that make two jobs the same; the recording's name and number of frames are added.
        frames: the recording, as it was named.
        source: the recording.
        columns: names of the table's columns.
        overwrite: start again if the partial table is of another job or recording.
        grown: go on with a recording that has more frames than when the job began.

    Only one process may do this at a time: what a killed one left of its temporary files is removed.

    Raises InputError if the partial table is of another job or recording, or is damaged.
    """
    facts = recording_facts(identity, frames, source)
    for path in (out, *(out.with_name(f"{out.stem}.partial.{ending}") for ending in ("csv", "json"))):
        sweep(path)
    may_grow = (NUMBER_OF_FRAMES,) if grown else ()
    files = files_as_they_are(frames)
    table = GrowingTable(out, facts, columns=columns, overwrite=overwrite, may_grow=may_grow, files=files)
    if not table.next_frame:
        return table
    problem = _difference(table, source, unchanged=table.files_before == files)
    if problem is None:
        return table
    if not overwrite:
        raise InputError(
            f"{table.rows_file} is the unfinished table of another recording ({problem}), which {out} would continue; "
            f"choose another name, remove it, or add --overwrite"
        )
    table.discard()
    return GrowingTable(out, facts, columns=columns, files=files)


def _difference(table: GrowingTable, source: FrameSource, unchanged: bool) -> str | None:
    """Return what differs between the frames that are done and those of the recording, or None."""
    done = table.next_frame
    if done > len(source):
        return f"{done} frames were done, it has {len(source)}"
    height, width = source.shape
    if unchanged and done * height * width * 4 > _BYTES_COMPARED:
        for index, expected in table.sampled.items():
            if _checksum_of(source, index) != expected:
                return f"frame {index + 1} has changed"
        return None
    if done > 1000:
        console.messages().print(f"comparing the {done} frames that are done", soft_wrap=True)
    for index in sorted(table.sampled):  # a frame can be named
        if index < done and _checksum_of(source, index) != table.sampled[index]:
            return f"frame {index + 1} has changed"
    chain = b""
    for index in range(done):
        chain = chained(chain, _checksum_of(source, index))
    if chain.hex() != table.chain:
        return f"one of the {done} frames done has changed"
    return None


def _checksum_of(source: FrameSource, index: int) -> int:
    try:
        return checksum(source.read(index))
    except InputError:
        return 0
