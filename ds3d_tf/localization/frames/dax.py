"""Frames in a .dax file: raw 16-bit pixels, described by a text file .inf of the same name (Zhuang lab)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.texts import read_text
from ds3d_tf.localization.frames.choice import Choice


class DaxFrames:
    """The planes of a .dax file."""

    def __init__(self, path: Path, choice: Choice) -> None:
        """Read its .inf file; raises InputError if that is missing or incomplete, or the pixels do not fit it."""
        self._path = path
        self.remarks: tuple[str, ...] = ()
        choice.only(True, True, str(path))
        described = path.with_suffix(".inf")
        if not described.is_file():
            raise InputError(f"{path}: {described.name}, which describes it, is missing; copy it to the same folder")
        text = read_text(described, "description")
        size = re.search(r"frame dimensions\s*=\s*(\d+)\s*x\s*(\d+)", text, re.IGNORECASE)
        count = re.search(r"number of frames\s*=\s*(\d+)", text, re.IGNORECASE)
        kind = re.search(r"data type\s*=\s*(.+)", text, re.IGNORECASE)
        if size is None or int(size[1]) * int(size[2]) == 0:
            raise InputError(f"{described}: expected a line such as `frame dimensions = 256 x 256`")
        if kind is not None and "16" not in kind[1]:
            raise InputError(f"{described}: data type {kind[1].strip()!r}; expected 16 bit integers")
        width, height = int(size[1]), int(size[2])
        order = "<" if kind is not None and "little" in kind[1].lower() else ">"
        there = path.stat().st_size // (2 * width * height)
        if not there:
            raise InputError(f"{path}: holds no whole frame of {width}×{height} pixels")
        if count is not None and int(count[1]) > there:
            self.remarks = (f"{path}: stopped early; {there} of {count[1]} frames are there, and are read",)
        elif count is not None and int(count[1]) < there:
            raise InputError(f"{described}: describes {count[1]} frames, but the file has {there}; correct it")
        self._frames = np.memmap(path, np.dtype(f"{order}u2"), "r", shape=(there, height, width))

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        """Return ``file frame n``."""
        return f"{self._path} frame {index + 1}"

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts."""
        return np.array(self._frames[index])

    def close(self) -> None:
        """Do nothing: the operating system closes a mapped file."""
