"""Recordings as frames read one at a time: TIFF files, folders, globs, Zarr, NumPy arrays."""

from __future__ import annotations

import glob
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.choice import Choice
from ds3d_tf.localization.frames.names import TIFF_SUFFIXES, files_matching, natural_order, tiffs_in
from ds3d_tf.localization.frames.tiff import UnreadableKind

ARRAY_SUFFIXES = (".npy", ".npz")


class FrameReader(Protocol):
    """One file (or group) of a recording: a number of planes, each with a name, read on demand.

    ``remarks`` holds what a user should know about it, a sentence each.
    """

    remarks: tuple[str, ...]

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

    ``len(source)`` is the number of frames, ``source.shape`` their ``(H, W)`` in pixels, ``source.remarks`` what a user
    should know about it, a sentence each.
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
        self.remarks = tuple(remark for reader in readers for remark in getattr(reader, "remarks", ()))
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


def open_frames(
    path: str | Path, keep_damaged: bool = False, *, position: str | None = None, channel: str | None = None
) -> FrameSource:
    """Return the frames of a recording, which are read only when asked for.

    Args:
        path: a TIFF of one or many pages (of ImageJ, OME, Micro-Manager, MetaMorph too), a folder of TIFFs, a glob
            such as ``"run3/*.tif"``, an NDTiff folder, a Zarr array or OME-Zarr image, Imaris (.ims), .dax, or a
            ``.npy`` or ``.npz`` file (``[frame, row, column]`` counts; in ``.npz`` under the name ``frames``). Files
            with numbers in their names are sorted by these numbers.
        keep_damaged: count a file that cannot be opened, the missing end of a truncated one, and each frame whose chunk
            or file is missing, as one damaged frame, whose reading fails, instead of refusing the whole recording.
        position: name, or number from 1, of the position to read where there are several.
        channel: name, or number from 1, of the channel to read where there are several.

    What a user should know, such as a recording that stopped early, is in the result's ``remarks``.

    Raises:
        InputError: there is no such recording, it is empty, damaged or of another format, or it has several positions
            or channels and none is chosen.
    """
    choice = Choice(position, channel)
    text, path = str(path), Path(path).expanduser()
    if path.is_dir():
        from ds3d_tf.localization.frames.ndtiff import NDTiffFrames, is_ndtiff
        from ds3d_tf.localization.frames.zarr import ZarrFrames, is_zarr

        if is_zarr(path):
            return FrameSource([ZarrFrames(path, choice, keep_damaged)], str(path), keep_damaged)
        if is_ndtiff(path):
            return FrameSource([NDTiffFrames(path, choice, keep_damaged)], str(path), keep_damaged)
        return FrameSource(_joined(tiffs_in(path), str(path), keep_damaged, choice), str(path), keep_damaged)
    if path.exists():
        return FrameSource([_alone(path, keep_damaged, choice)], str(path), keep_damaged)
    if glob.has_magic(text):
        files = files_matching(text)
        if not files:
            raise InputError(f"{text}: no file matches this pattern; check it and put it in quotes")
        return FrameSource(_joined(files, text, keep_damaged, choice), text, keep_damaged)
    raise InputError(f"{text}: no such file or folder; expected a TIFF, a folder of TIFFs or a pattern")


def _alone(path: Path, keep_damaged: bool, choice: Choice) -> FrameReader:
    """Return the reader of one file, and of the further files that belong to it."""
    from ds3d_tf.localization.frames.micro_manager import MicroManagerFrames, files_with, is_micro_manager
    from ds3d_tf.localization.frames.ndtiff import INDEX, NDTiffFrames, is_ndtiff

    if path.name == INDEX or (path.suffix.lower() in TIFF_SUFFIXES and is_ndtiff(path.parent)):
        return NDTiffFrames(path.parent, choice, keep_damaged)
    if is_micro_manager(path):
        return MicroManagerFrames(files_with(path), choice, keep_damaged)
    return _reader(path, True, keep_damaged, choice)


def _joined(files: list[Path], where: str, keep_damaged: bool, choice: Choice) -> list[FrameReader]:
    """Return the readers of files that are one recording; files that a header joins count once, as a set."""
    from ds3d_tf.localization.frames import micro_manager
    from ds3d_tf.localization.frames.ome_sets import without_followed

    if is_ndtiff_file(files):
        raise InputError(f"{where}: files of an NDTiff recording; give its folder, {files[0].parent}")
    named = micro_manager.single_images(files, choice, where)
    if named is not None:
        files, choice = named, Choice()
    stacks = [file for file in files if "MMStack" in file.name and micro_manager.is_micro_manager(file)]
    ordered: list[tuple[Path, FrameReader]] = []
    ordered += [
        (group[0], micro_manager.MicroManagerFrames(group, choice, keep_damaged))
        for group in micro_manager.recordings_of(stacks)
    ]
    others = [file for file in files if file not in set(stacks)]
    for file, follow in without_followed(others):
        try:
            reader = _reader(file, follow or len(files) == 1, keep_damaged, choice)
        except UnreadableKind:
            raise
        except InputError as error:
            if not keep_damaged:
                raise
            reader = _DamagedFile(file, error)
        ordered.append((file, reader))
    return [reader for _, reader in sorted(ordered, key=lambda one: natural_order(one[0]))]


def is_ndtiff_file(files: list[Path]) -> bool:
    """Return whether all files lie in one NDTiff folder."""
    from ds3d_tf.localization.frames.ndtiff import is_ndtiff

    return len({file.parent for file in files}) == 1 and is_ndtiff(files[0].parent)


def _reader(path: Path, alone: bool, keep_damaged: bool, choice: Choice) -> FrameReader:
    if path.suffix.lower() in ARRAY_SUFFIXES:
        from ds3d_tf.localization.frames.array import ArrayFrames

        choice.only(True, True, str(path))
        return ArrayFrames(path)
    from ds3d_tf.localization.frames.other_kinds import open_other_kind
    from ds3d_tf.localization.frames.tiff import TiffFrames

    return open_other_kind(path, choice) or TiffFrames(path, alone, keep_damaged, choice)


class _DamagedFile:
    """A file that cannot be opened, counted as one damaged frame."""

    def __init__(self, path: Path, error: InputError) -> None:
        self._path, self._error = path, error
        self.remarks: tuple[str, ...] = ()

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
