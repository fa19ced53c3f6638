"""What readers of microscope makers' files have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ds3d_tf.common.arrays import check_plane
from ds3d_tf.common.errors import InputError


class CameraFile:
    """Frames of one file, named by their number; a maker's reader says how a frame is read."""

    def __init__(self, path: Path, maker: str) -> None:
        """``maker`` is how messages call such a file, such as "a Nikon file"."""
        self._path = path
        self._maker = maker
        self._count = 0
        self.remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """Return ``file frame n``."""
        return f"{self._path} frame {index + 1}"

    def close(self) -> None:
        """Close the file; a later read opens it again."""

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Turn the many errors of a library that meets a damaged file into one line."""
        try:
            yield
        except InputError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise InputError(f"{self._path}: not {self._maker}, or damaged") from error

    def _checked_size(self, height: int, width: int, dtype: np.dtype) -> None:
        """Refuse frames without pixels, or larger than any camera's, before memory is asked for."""
        if height < 1 or width < 1:
            raise InputError(f"{self._path}: has no pixels ({height}×{width})")
        check_plane((height, width), np.dtype(dtype).itemsize, str(self._path))

    def _stopped_early(self, there: int, promised: int) -> None:
        """Remark that frames at the end are missing; raises InputError if all are."""
        if there <= 0:
            raise InputError(f"{self._path}: holds no whole frame")
        if there < promised:
            self.remarks = (f"{self._path}: stopped early; {there} of {promised} frames are there, and are read",)

    def _damaged(self, index: int) -> InputError:
        return InputError(f"{self.name(index)}: truncated or damaged")
