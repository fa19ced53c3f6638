"""Recordings as frames read one at a time: TIFF files, folders, globs, Zarr, NumPy arrays."""

from __future__ import annotations

import glob
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from ds3d_tf.common.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff")
ARRAY_SUFFIXES = (".npy", ".npz")


class FrameReader(Protocol):
    """One file (or group) of a recording: a number of planes, each with a name, read on demand."""

    def __len__(self) -> int:
        """Return the number of planes."""

    def name(self, index: int) -> str:
        """Return the name of a plane for messages: its file, and its page if there are several."""

    def read(self, index: int) -> np.ndarray:
        """Return a plane as stored, ``[H, W]``, any dtype, counts; raises InputError if it is damaged."""

    def close(self) -> None:
        """Close the file; a later read opens it again."""


class FrameSource:
    """A recording: frames of one size, read when asked for and never all at once.

    ``len(source)`` is the number of frames, ``source.shape`` their ``(H, W)`` in pixels.
    """

    def __init__(self, readers: list[FrameReader], where: str, keep_damaged: bool = False) -> None:
        """Join ``readers`` in order.

        ``where`` is the recording's name in errors. The first frame sets the size of all; with ``keep_damaged``, the
        first that is not damaged. Raises InputError if there are no frames.
        """
        self._keep_damaged = keep_damaged
        self._readers = readers
        self._ends = list(accumulate(len(reader) for reader in readers))
        self.where = where
        self._shape: tuple[int, int] | None = None
        self._current: FrameReader | None = None
        if len(self) == 0:
            raise InputError(f"{where}: holds no frames")

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.read(index) for index in range(len(self)))

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of every frame, pixels, as the first one has it. Raises InputError if that is damaged."""
        if self._shape is None:
            height, width = self.first()[1].shape
            self._shape = height, width
        return self._shape

    def first(self) -> tuple[int, np.ndarray]:
        """Return index and pixels (float32 ``[H, W]``, raw counts) of the frame that sets the size of all.

        Raises InputError if it is damaged; with ``keep_damaged`` only if all are.
        """
        for index in range(len(self)):
            try:
                return index, self._load(index)
            except InputError:
                if not self._keep_damaged:
                    raise
        raise InputError(f"{self.where}: all {len(self)} frames are damaged")

    def name(self, index: int) -> str:
        """Return the name of a frame for messages: its file, and its page if the file has several."""
        reader, within = self._locate(index)
        return reader.name(within)

    def read(self, index: int) -> np.ndarray:
        """Return one frame.

        Args:
            index: from 0.

        Returns:
            float32 ``[H, W]`` (row, column), raw counts.

        Raises:
            InputError: the frame is damaged, not a single grey plane, not of numbers, not finite, or of another size.
        """
        shape = self.shape
        frame = self._load(index)
        if frame.shape != shape:
            raise InputError(
                f"{self.name(index)}: {_size(frame.shape)} pixels, but the first frame has {_size(shape)}; "
                "all frames of a recording must have one size"
            )
        return frame

    def _load(self, index: int) -> np.ndarray:
        reader, within = self._locate(index)
        if self._current is not None and self._current is not reader:
            self._current.close()
        self._current = reader
        return _checked(reader.read(within), reader.name(within))

    def _locate(self, index: int) -> tuple[FrameReader, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected 0 to {len(self) - 1}, got {index}")
        place = bisect_right(self._ends, index)
        return self._readers[place], index - (self._ends[place - 1] if place else 0)


def open_frames(path: str | Path, keep_damaged: bool = False) -> FrameSource:
    """Return the frames of a recording, which are read only when asked for.

    Args:
        path: a TIFF of one or many pages (OME-TIFF too), a folder of TIFFs, a glob such as ``"run3/*.tif"``, a Zarr
            array or OME-Zarr image, or a ``.npy`` or ``.npz`` file (``[frame, row, column]`` counts; in ``.npz`` under
            the name ``frames``). Files with numbers in their names are sorted by these numbers.
        keep_damaged: count a file that cannot be opened, and the missing end of a truncated one, as one damaged frame,
            whose reading fails, instead of refusing the whole recording.

    Raises:
        InputError: there is no such recording, or it is empty, damaged or of another format.
    """
    text, path = str(path), Path(path).expanduser()
    if path.is_dir():
        from ds3d_tf.localization.frames.zarr import ZarrFrames, is_zarr

        if is_zarr(path):
            return FrameSource([ZarrFrames(path)], str(path), keep_damaged)
        return _open_folder(path, keep_damaged)
    if path.exists():
        return FrameSource([_reader(path, alone=True, keep_damaged=keep_damaged)], str(path), keep_damaged)
    if glob.has_magic(text):
        files = sorted((Path(name) for name in glob.glob(str(path)) if Path(name).is_file()), key=natural_order)
        if not files:
            raise InputError(f"{text}: no file matches this pattern; check it and put it in quotes")
        return _join(files, text, keep_damaged)
    raise InputError(f"{text}: no such file or folder; expected a TIFF, a folder of TIFFs or a pattern")


def natural_order(path: str | Path) -> list[tuple[int, int, str]]:
    """Return a sorting key that puts ``2.tif`` before ``10.tif``."""
    pieces = re.split(r"(\d+)", str(path))
    return [(0, int(piece), "") if piece.isdigit() else (1, 0, piece.lower()) for piece in pieces]


def _open_folder(folder: Path, keep_damaged: bool) -> FrameSource:
    files = sorted(
        (
            f
            for f in folder.iterdir()
            if f.suffix.lower() in TIFF_SUFFIXES and not f.name.startswith(".") and not f.is_dir()
        ),
        key=natural_order,
    )
    if not files:
        raise InputError(f"{folder}: no TIFF files in this folder (names that end in .tif or .tiff)")
    return _join(files, str(folder), keep_damaged)


def _join(files: list[Path], where: str, keep_damaged: bool) -> FrameSource:
    readers: list[FrameReader] = []
    for file in files:
        try:
            readers.append(_reader(file, alone=len(files) == 1, keep_damaged=keep_damaged))
        except InputError as error:
            if not keep_damaged:
                raise
            readers.append(_DamagedFile(file, error))
    return FrameSource(readers, where, keep_damaged)


def _reader(path: Path, alone: bool, keep_damaged: bool) -> FrameReader:
    if path.suffix.lower() in ARRAY_SUFFIXES:
        from ds3d_tf.localization.frames.array import ArrayFrames

        return ArrayFrames(path)
    from ds3d_tf.localization.frames.tiff import TiffFrames

    return TiffFrames(path, alone=alone, keep_damaged=keep_damaged)


class _DamagedFile:
    """A file that cannot be opened, counted as one damaged frame."""

    def __init__(self, path: Path, error: InputError) -> None:
        self._path, self._error = path, error

    def __len__(self) -> int:
        return 1

    def name(self, index: int) -> str:
        return str(self._path)

    def read(self, index: int) -> np.ndarray:
        raise InputError(self._error.marked)

    def close(self) -> None:
        pass


def _checked(frame: np.ndarray, name: str) -> np.ndarray:
    if frame.ndim != 2:
        samples = min(frame.shape)
        if frame.ndim == 3 and samples in (2, 3, 4):
            raise InputError(f"{name}: a colour image ({samples} samples per pixel); save it as one grey channel")
        raise InputError(f"{name}: expected one plane of rows and columns, got {_size(frame.shape)}")
    if frame.size == 0:
        raise InputError(f"{name}: has no pixels ({_size(frame.shape)})")
    if frame.dtype.kind not in "uif":
        raise InputError(
            f"{name}: pixels of type {frame.dtype}; expected integer or floating-point counts, such as uint16"
        )
    with np.errstate(over="ignore"):
        counts = frame.astype(np.float32)
    bad = frame.size - int(np.count_nonzero(np.isfinite(counts)))
    if bad:
        raise InputError(f"{name}: {bad} of {frame.size} pixels are NaN or infinite; replace them with counts")
    return counts


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
