"""Frames in an Andor file (.sif), whose header the library sif_parser reads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.optional import require
from ds3d_tf.localization.frames.camera_file import CameraFile
from ds3d_tf.localization.frames.choice import Choice

_LONGEST = 1 << 20


class AndorFrames(CameraFile):
    """The planes of a .sif file, 32-bit floats, rows in the order in which they are stored."""

    def __init__(self, path: Path, choice: Choice) -> None:
        """Read its header; raises InputError if that is damaged, or frames have several regions."""
        super().__init__(path, "an Andor file")
        choice.only(True, True, str(path))
        require(str(path), "formats", "sif_parser")
        from sif_parser._sif_open import _open

        with self._opening(), open(path, "rb") as stream:
            _, (width, height), promised, info = _open(_Header(stream))
            if info["NumberOfSubImages"] != 1:
                raise InputError(f"{path}: frames of several regions of the chip; save one of them as TIFF in Solis")
            self._checked_size(height, width, np.dtype("<f4"))
            offset = int(info["offset"])
            there = min((path.stat().st_size - offset) // (4 * width * height), promised)
        self._stopped_early(there, promised)
        self._frames = np.memmap(path, "<f4", "r", offset=offset, shape=(there, height, width))
        self._count = there

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts."""
        return np.array(self._frames[index])


class _Header:
    """The beginning of a file, for a parser that would go on for ever where a damaged one ends."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST:
            raise ValueError(f"a text of {size} bytes")
        return self._some(self._stream.read(size), size)

    def readline(self) -> bytes:
        return self._some(self._stream.readline(_LONGEST), 1)

    def _some(self, data: bytes, wanted: int) -> bytes:
        if len(data) < wanted:
            raise EOFError("the header ends early")
        return data
