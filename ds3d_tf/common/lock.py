"""One process at a time: a lock that the operating system lets go of however the process ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ds3d_tf.common.errors import InputError


@contextlib.contextmanager
def only_process(lock_file: str | Path, what: str) -> Iterator[None]:
    """Hold ``lock_file``, which is removed afterwards, while the block runs.

    What a killed process leaves behind is no lock. ``what`` names the contested thing in the error.
    Raises InputError if another process holds it or it cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # an operating system without such locks
        yield
        return
    lock_file = Path(lock_file)
    while True:
        try:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock_file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            link = "; it is a link, which is not followed: remove it" if lock_file.is_symlink() else ""
            raise InputError(f"cannot write {lock_file}: {error.strerror or error}{link}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            raise InputError(
                f"{what} is being written by another process{f' ({holder})' if holder else ''}; "
                "wait for it, or choose another name"
            ) from error
        except OSError:  # a file system without locks
            os.close(handle)
            lock_file.unlink(missing_ok=True)
            yield
            return
        # The holder before may have removed the file between opening and locking it.
        with contextlib.suppress(OSError):
            if os.stat(lock_file).st_ino == os.fstat(handle).st_ino:
                break
        os.close(handle)
    try:
        with contextlib.suppress(OSError):  # a full disk: others then cannot tell who holds it
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        lock_file.unlink(missing_ok=True)
        os.close(handle)
