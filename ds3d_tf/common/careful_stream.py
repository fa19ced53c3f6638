"""A file for HDF5, whose library ends the whole process where a write fails."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class CarefulStream(io.RawIOBase):
    """A file that can be read and written whose first failed write is kept for :meth:`check`.

    The writer is told that all is well: a library that cannot bear a full disk then comes to its end, and the file is
    thrown away.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._at = 0
        self._size = 0
        self.failure: BaseException | None = None

    def check(self) -> None:
        """Raise the error of the first write that failed, if any."""
        if self.failure is not None:
            raise self.failure

    def write(self, content: Any) -> int:
        """Write bytes at the present position."""
        view = memoryview(content).cast("B")
        if self.failure is None:
            try:
                done = 0
                while done < len(view):
                    done += os.pwrite(self._handle, view[done:], self._at + done)
            except BaseException as error:  # Ctrl-C, too, must not pass through the library
                self.failure = error
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the present position; what was not written is 0."""
        view = memoryview(buffer).cast("B")
        count = max(min(len(view), self._size - self._at), 0)
        try:
            content = os.pread(self._handle, count, self._at)
        except BaseException as error:
            self.failure = self.failure or error
            content = b""
        view[:count] = content.ljust(count, b"\0")
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """Return the present position."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Make the file ``size`` bytes long."""
        self._size = self._at if size is None else size
        if self.failure is None:
            try:
                os.ftruncate(self._handle, self._size)
            except BaseException as error:
                self.failure = error
        return self._size

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._handle)
        super().close()


@contextlib.contextmanager
def careful_stream(path: str | Path) -> Iterator[CarefulStream]:
    """Yield a new file; raises the error of the first write that failed when the block ends."""
    with contextlib.closing(CarefulStream(path)) as stream:
        yield stream
        stream.check()
