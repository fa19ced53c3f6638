"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.leftovers import marked_folder, sweep

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def refuse_existing(path: str | Path, overwrite: bool) -> Path:
    """Check that an output may be written and return it as a Path.

    Raises InputError if it exists and ``overwrite`` is false, or if its folder cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name or add --overwrite")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {path}: {folder} is not a writable folder")
    return path


def check_room(path: str | Path, needed: float) -> None:
    """Raise InputError if the disk of ``path`` has no room for ``needed`` bytes."""
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"cannot write {path}: {needed / 1e9:.3g} GB are needed and {free / 1e9:.3g} GB are free; make room, or "
            "write less"
        )


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield the path of an empty file that takes the place of ``path`` when the block ends without an error.

    Raises InputError if the file cannot be written (folder missing rights, disk full).
    """
    path = Path(path)
    temporary = None
    try:
        with _told_of_the_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path)
            temporary, mark = marked_folder(path)
            with mark:
                file = temporary / path.name
                file.touch()
                yield file
                file.chmod(0o666 & ~_umask())
                os.replace(file, path)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def open_no_link(path: str | Path, mode: str) -> IO[bytes]:
    """Open a file in a binary mode, but never what a link of its name points at; raises OSError."""
    return open(path, mode, opener=_no_link)


def _no_link(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "it is a link, which is not followed; remove it", path) from None
        raise


@contextlib.contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that replaces it when the block ends without an error.

    Raises InputError if the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with _told_of_the_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path)
            temporary, mark = marked_folder(path)
            with mark:
                yield temporary
                temporary.chmod(0o777 & ~_umask())
                if path.is_dir():
                    _exchange(temporary, path)
                else:
                    os.replace(temporary, path)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def whole_files(paths: Sequence[str | Path]) -> Iterator[Path]:
    """Yield a temporary folder; what is in it under the names of ``paths`` takes their places when the block ends well.

    The first path takes its place last. Raises InputError if a file cannot be written.
    """
    targets = [Path(path) for path in paths]
    with temporary_folder(targets[0]) as temporary:
        yield temporary
        files = {target: temporary / target.name for target in reversed(targets)}
        new = [target for target in targets if not target.exists()]
        try:
            put_in_place(files)
        except OSError:
            for target in new:
                if not files[target].exists():  # it was moved just now
                    target.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def whole_outputs(main: str | Path, companions: Sequence[str | Path], overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder for a file and those that belong to it, which take their names together at the end.

    A process that dies before the last of them, ``main``, leaves companions behind: those that would be the same again
    are taken for its own. Others are refused, unless they may be overwritten.

    Raises InputError if a file cannot be written or replaced.
    """
    others = [Path(path) for path in companions]
    with whole_files([main, *others]) as temporary:
        yield temporary
        for path in others:
            if path.is_file() and path.read_bytes() == (temporary / path.name).read_bytes():
                continue
            refuse_existing(path, overwrite)


@contextlib.contextmanager
def temporary_folder(path: str | Path) -> Iterator[Path]:
    """Yield a folder beside ``path`` that is gone after the block; raises InputError if something cannot be written."""
    path = Path(path)
    temporary = None
    try:
        with _told_of_the_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path)
            temporary, mark = marked_folder(path)
            with mark:
                yield temporary
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, path: Path) -> None:
    """Let a folder take the place of another, which is removed; a process that dies between leaves the other aside."""
    old, mark = marked_folder(path, aside=True)
    with mark:
        try:
            os.replace(path, old / path.name)
            try:
                os.replace(new, path)
            except OSError:
                os.replace(old / path.name, path)
                raise
            shutil.rmtree(old, ignore_errors=True)
        finally:
            with contextlib.suppress(OSError):
                old.rmdir()


def put_in_place(files: Mapping[Path, Path]) -> None:
    """Let whole files take their names (name → file), in this order; raises OSError."""
    for target, file in files.items():
        file.chmod(0o666 & ~_umask())
        os.replace(file, target)


def disk_failure(error: BaseException) -> str | None:
    """Return what the disk refused if that is behind an error, else None.

    Libraries wrap the system's error, or say it in words of their own.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and (seen is error or seen.errno in _DISK_ERRORS):
            return (seen.strerror or str(seen) or type(seen).__name__).splitlines()[0]
        if isinstance(seen, Exception):
            text = str(seen)
            for number in _DISK_ERRORS:
                if os.strerror(number) in text:
                    return os.strerror(number)
        seen = seen.__cause__ or seen.__context__
    return None


@contextlib.contextmanager
def _told_of_the_disk(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = disk_failure(error)
        if reason is None:
            raise
        raise InputError(f"cannot write {path}: {reason}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
