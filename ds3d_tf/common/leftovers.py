"""Temporary folders beside an output: named after it, held while their process lives, swept by the next one.

A temporary folder is locked by the process that writes it. (A file would not do: HDF5 locks its own.) What is left by a
process that was killed has a name of ours and no lock; the next process that writes the same output removes it. Nothing
else is ever removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # an operating system without such locks: nothing is swept
    fcntl = None  # type: ignore[assignment]

_RANDOM = "[a-z0-9_]{8}"
_OURS = re.compile(rf"\.partial-.+-{_RANDOM}")


def marked_folder(path: Path, aside: bool = False) -> tuple[Path, contextlib.AbstractContextManager[None]]:
    """Return a new temporary folder beside ``path``, and the block during which it is in use; raises OSError.

    One that is ``aside`` takes what was at ``path`` before.
    """
    while True:
        name = tempfile.mkdtemp(prefix=_prefix(path, aside), dir=path.parent)
        handle = _opened(name)
        if handle is None or _hold(handle, name):
            return Path(name), _held(handle)


def sweep(path: str | Path) -> None:
    """Remove what killed processes left while they wrote ``path``; what other processes write now is left alone.

    A folder that was moved aside and not replaced gets its name back.
    """
    path = Path(path)
    begin = "|".join(re.escape(_prefix(path, aside)) for aside in (False, True))
    # Also of what was being written into the place of such a folder.
    ours = re.compile(rf"(?:\.partial-|\.old-)*(?:{begin}){_RANDOM}(?:-{_RANDOM})*")
    _sweep(path.absolute().parent, ours, path)


def is_leftover(path: Path) -> bool:
    """Return whether a path is a temporary folder of this program's, by its name."""
    return _OURS.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def sweep_folder(folder: str | Path) -> None:
    """Remove what killed processes left in a folder that only this program writes; raises nothing."""
    _sweep(Path(folder).absolute(), _OURS, None)


def _sweep(folder: Path, ours: re.Pattern[str], path: Path | None) -> None:
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith((".partial-", ".old-")) and ours.fullmatch(name):
                _remove(folder / name, path)


def _remove(left: Path, path: Path | None) -> None:
    """Remove a leftover that no process holds."""
    handle = None if left.is_symlink() or not left.is_dir() else _opened(left)
    if handle is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path is not None and left.name.startswith(".old-") and (left / path.name).exists() and not path.exists():
            os.replace(left / path.name, path)
        shutil.rmtree(left, ignore_errors=True)
    except OSError:  # held, or a file system without locks
        pass
    finally:
        os.close(handle)


def _prefix(path: Path, aside: bool = False) -> str:
    return f"{'.old' if aside else '.partial'}-{path.name[:60]}-"


def _opened(name: str | Path) -> int | None:
    """Return a handle for a lock; None where there are none, such as folders on some systems."""
    if fcntl is None:
        return None
    try:
        return os.open(name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None


def _hold(handle: int, name: str) -> bool:
    """Lock a new temporary folder; false if another process has swept it before it was locked."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a file system without locks: nothing is swept there, either
        return True
    if os.path.lexists(name):
        return True
    os.close(handle)
    return False


@contextlib.contextmanager
def _held(handle: int | None) -> Iterator[None]:
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
