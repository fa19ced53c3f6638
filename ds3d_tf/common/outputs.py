"""May this folder be replaced? Only if the same command wrote it, and nothing else is in it.

A folder that a command writes holds the file ``.ds3d.json``: the command and the names of its files. ``--overwrite``
replaces a folder only if that file names the same command and every other file in the folder is in its list.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import refuse_existing, whole_file, whole_folder
from ds3d_tf.common.leftovers import is_leftover

MARKER_FILE = ".ds3d.json"
MAX_NAMED_STRANGERS = 5
SAVED_MODEL_FILES = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-*",
    "assets/*",
    "assets.extra/tf_serving_warmup_requests",
)
# What operating systems and interrupted writes leave behind; nobody misses it.
_LITTER = ("**/.DS_Store", "**/Thumbs.db", "**/desktop.ini", "**/.partial-*", "**/.partial-*/**", "**/*.lock")


@dataclass(frozen=True)
class Marker:
    """Which command wrote a folder, and its files: names or patterns, relative to the folder, with ``/`` between."""

    command: str
    files: tuple[str, ...]


def check_folder(out: str | Path, overwrite: bool, command: str) -> Path:
    """Return ``out`` as a Path if ``command`` may write a folder there; nothing is changed.

    Args:
        out: folder to be written; one that is empty, or holds only what a killed process left, is free.
        overwrite: whether an earlier output of the same command may be replaced.
        command: name of the command, such as ``train``.

    Raises InputError if the place is not writable, if it exists and ``overwrite`` is false, or if it is anything but an
    untouched output of the same command; the files of others are named.
    """
    out = Path(out)
    if out.is_dir() and all(map(is_leftover, out.iterdir())):
        return refuse_existing(out, overwrite=True)
    out = refuse_existing(out, overwrite)
    if not out.exists():
        return out
    if not out.is_dir():
        raise InputError(f"{out} is a file, and a folder is to be written; choose another name")
    marker = read_marker(out)
    if marker is None:
        raise InputError(
            f"{out} exists but was not written by `ds3d {command}` (it holds {_named(_files(out))}); "
            f"choose another {argument('out')}"
        )
    if marker.command != command:
        raise InputError(
            f"{out} was written by `ds3d {marker.command}`, not by `ds3d {command}`; choose another {argument('out')}"
        )
    strangers = find_strangers(out, marker)
    if strangers:
        raise InputError(
            f"{out} holds files that `ds3d {command}` did not write ({_named(strangers)}); "
            f"move them away or choose another {argument('out')}"
        )
    return out


@contextlib.contextmanager
def output_folder(out: str | Path, overwrite: bool, command: str) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out``, with its marker, when the block ends without an error.

    Raises InputError as :func:`check_folder` does, before the block and again after it: files that others put there in
    the meantime are kept, and ``out`` with them.
    """
    out = check_folder(out, overwrite, command)
    with whole_folder(out) as folder:
        yield folder
        mark_folder(folder, command, _files(folder))
        check_folder(out, overwrite=True, command=command)


def mark_folder(folder: str | Path, command: str, files: Iterable[str]) -> None:
    """Write the marker of a folder: ``files`` are names or patterns (``*`` within a name, ``**`` any folders)."""
    with whole_file(Path(folder) / MARKER_FILE) as temporary:
        text = json.dumps({"written_by": f"ds3d {command}", "files": sorted(files)}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_marker(folder: str | Path) -> Marker | None:
    """Return the marker of a folder, or None if it has none or a damaged one."""
    try:
        content = json.loads((Path(folder) / MARKER_FILE).read_text(encoding="utf-8"))
        program, _, command = str(content["written_by"]).partition(" ")
        files = tuple(str(name) for name in content["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Marker(command, files) if program == "ds3d" and command else None


def find_strangers(folder: str | Path, marker: Marker) -> list[str]:
    """Return the files below a folder that its marker does not list, as sorted relative names."""
    own = _pattern((*marker.files, MARKER_FILE, *_LITTER))
    return [name for name in _files(Path(folder)) if not own.fullmatch(name)]


def refuse_strangers(folder: str | Path, files: Iterable[str], kind: str) -> None:
    """Raise InputError if a folder holds anything but ``files`` (names or patterns), or is a file; none is fine."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a {kind}; choose another name")
    strangers = find_strangers(folder, Marker("", tuple(files)))
    if strangers:
        raise InputError(f"{folder} is not only a {kind}: it holds {_named(strangers)}; choose another name")


def remove_output(folder: str | Path) -> list[str]:
    """Delete the files that a folder's marker lists, and folders that are then empty; return what was left there.

    A folder without a marker is left as it is.
    """
    folder = Path(folder)
    marker = read_marker(folder) if folder.is_dir() else None
    if marker is None:
        return _files(folder) if folder.is_dir() else []
    strangers = find_strangers(folder, marker)
    kept = set(strangers)
    for name in _files(folder):
        if name not in kept and name != MARKER_FILE:
            (folder / name).unlink(missing_ok=True)
    (folder / MARKER_FILE).unlink(missing_ok=True)
    _remove_empty(folder)
    return strangers


@contextlib.contextmanager
def new_folder(out: str | Path, command: str, files: Iterable[str]) -> Iterator[Path]:
    """Make the folder of a long job, whose files come one by one; what an earlier run of the command left is removed.

    ``out`` has been checked by :func:`check_folder`. The first files are written in the block, into a temporary folder
    that then takes its place.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(out) as folder:
        mark_folder(folder, command, files)
        yield folder
        if out.exists():
            check_folder(out, overwrite=True, command=command)


def _files(folder: Path) -> list[str]:
    """Return the files (and links) below a folder, and its empty folders, as sorted names relative to it."""
    names = []
    for where, folders, files in os.walk(folder):
        here = Path(where)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if name not in links]
        names += [(here / name).relative_to(folder).as_posix() for name in (*files, *links)]
    return sorted(names)


def _remove_empty(folder: Path) -> None:
    for where, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(where).rmdir()


def _named(names: list[str]) -> str:
    if not names:
        return "empty folders"
    more = f" and {len(names) - MAX_NAMED_STRANGERS} more" if len(names) > MAX_NAMED_STRANGERS else ""
    return ", ".join(names[:MAX_NAMED_STRANGERS]) + more


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Return one expression for names and patterns: ``*`` stands for part of a name, ``**`` for any folders."""

    def one(name: str) -> str:
        text = re.escape(name)
        return text.replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*")

    return re.compile("|".join(one(name) for name in names))
