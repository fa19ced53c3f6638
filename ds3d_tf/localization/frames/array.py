"""Frames in a NumPy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.size_checks import check_numpy

ARRAY_NAME = "frames"


class ArrayFrames:
    """The planes of a ``.npy`` array ``[frame, row, column]`` or of the array ``frames`` in a ``.npz`` file."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises InputError if it is not a NumPy file, or has no such array of three dimensions."""
        self._path = path
        try:
            check_numpy(path)
            loaded = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(loaded, np.ndarray):
                names = list(loaded)
                if ARRAY_NAME not in names:
                    raise InputError(
                        f"{path}: no array named {ARRAY_NAME!r} in it; it holds {', '.join(names) or 'none'}"
                    )
                loaded = loaded[ARRAY_NAME]
        except InputError:
            raise
        except Exception as error:  # NumPy raises many kinds of errors for a file that is not its own
            raise InputError(f"{path}: not a NumPy file, or truncated") from error
        if loaded.ndim == 2:
            loaded = loaded[np.newaxis]
        if loaded.ndim != 3:
            raise InputError(f"{path}: expected an array [frame, row, column], got {loaded.ndim} dimensions")
        self._frames = loaded

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        """Return ``file frame n``."""
        return f"{self._path} frame {index + 1}"

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts."""
        return self._frames[index]

    def close(self) -> None:
        """Do nothing: the operating system closes a mapped file."""
