"""A file system whose n-th change fails, or during whose n-th change the process dies; below Python's own files."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Killed(BaseException):
    """What a process that was killed would not have lived to see; nothing may clean up after it."""


class Changes:
    """Counts the changes of the disk below a folder; the one with number ``failing`` (from 0) fails.

    Attributes:
        count: changes so far.
        paths: what each of them changed, relative to the folder.
        full: whether all further writes fail, too, as on a full disk, until room is made.
        kill: whether the process is dead instead: nothing changes the disk any more.
    """

    def __init__(self, folder: Path, failing: int | None, full: bool = True, kill: bool = False) -> None:
        self.folder, self.failing, self.full, self.kill = str(folder), failing, full, kill
        self.count = 0
        self.paths: list[str] = []
        self.dead = False

    def happens(self, path: Any, room: bool = True) -> None:
        """Count a change of ``path``, or fail; ``room`` says whether it needs room on the disk."""
        if not str(path).startswith(self.folder):
            return
        number, self.count = self.count, self.count + 1
        self.paths.append(str(path)[len(self.folder) :])
        if self.failing is None or number < self.failing:
            return
        if self.kill:
            self.dead = True
            raise Killed
        if number == self.failing or (self.full and room):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextlib.contextmanager
def changes_of(folder: Path, failing: int | None, *, full: bool = True, kill: bool = False) -> Iterator[Changes]:
    """Watch the changes below a folder: writes, renames, syncs, new files; a killed process may not clean up."""
    changes = Changes(folder, failing, full, kill)
    real = {name: getattr(os, name) for name in ("replace", "fsync", "pwrite", "ftruncate", "truncate", "open")}
    cleaning = {name: getattr(os, name) for name in ("unlink", "rmdir", "remove")}
    real_open = io.open
    paths: dict[int, str] = {}

    class Raw(io.FileIO):
        def write(self, content: Any) -> int:
            changes.happens(self.name)
            return super().write(content)

    def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **keywords: Any) -> Any:
        if not isinstance(file, (str, os.PathLike)) or not set(mode) & set("wax+") or changes.folder not in str(file):
            return real_open(file, mode, buffering, *rest, **keywords)
        raw = Raw(os.fspath(file), mode.replace("b", "").replace("t", ""), opener=keywords.get("opener"))
        kind = io.BufferedRandom if "+" in mode else io.BufferedWriter
        stream = kind(raw)
        if "b" in mode:
            return stream
        names = ("encoding", "errors", "newline")
        given = dict(zip(names, rest, strict=False)) | {k: v for k, v in keywords.items() if k in names}
        text = io.TextIOWrapper(stream, **given)
        text.mode = mode
        return text

    def named(name: str, room: bool, at: int = 0) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            target = arguments[at]
            changes.happens(paths.get(target, "") if isinstance(target, int) else target, room)
            return real[name](*arguments, **keywords)

        return call

    def open_handle(path: Any, flags: int, *rest: Any, **keywords: Any) -> int:
        if flags & os.O_CREAT:
            changes.happens(path)
        handle = real["open"](path, flags, *rest, **keywords)
        paths[handle] = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
        return handle

    def clean(name: str) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            return None if changes.dead else cleaning[name](*arguments, **keywords)

        return call

    patched: dict[tuple[Any, str], Any] = {
        (builtins, "open"): opened,
        (io, "open"): opened,
        (os, "open"): open_handle,
        (os, "replace"): named("replace", room=False, at=1),
        (os, "fsync"): named("fsync", room=False),
        (os, "pwrite"): named("pwrite", room=True),
        (os, "ftruncate"): named("ftruncate", room=False),
        (os, "truncate"): named("truncate", room=False),
        **{(os, name): clean(name) for name in cleaning},
    }
    before = {place: getattr(*place) for place in patched}
    try:
        for (module, name), new in patched.items():
            setattr(module, name, new)
        yield changes
    finally:
        for (module, name), old in before.items():
            setattr(module, name, old)
