"""Frames in a Zeiss file (.czi), read by the library czifile."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.optional import require
from ds3d_tf.localization.frames.camera_file import CameraFile
from ds3d_tf.localization.frames.choice import Choice

_READ = {0: "none", 2: "LZW", 4: "JPEG XR", 5: "Zstandard", 6: "Zstandard"}
# Outermost first: the order in which frames follow one another.
_ORDER = "VHIRTZB"


class ZeissFrames(CameraFile):
    """The planes of one scene and one channel of a .czi file, time by time, each from the lowest slice up."""

    def __init__(self, path: Path, choice: Choice) -> None:
        """Open the file; raises InputError if it is damaged, tiled, or has several scenes and none is chosen."""
        super().__init__(path, "a Zeiss file")
        require(str(path), "formats", "czifile")
        import czifile

        self._library = czifile
        self._file: Any = None
        with self._opening():
            blocks = [block for block in self._opened().subblock_directory if not block.pyramid_type]
            places = [{one.dimension: one for one in block.dimension_entries} for block in blocks]
            if not blocks:
                raise InputError(f"{path}: holds no frames")
            if any("M" in place and place["M"].start for place in places):
                raise InputError(f"{path}: a picture of several tiles; save the frames of one field of view")
            if any(block.file_part for block in blocks):
                raise InputError(f"{path}: its frames lie in other files; save it as one file with ZEN")
            for block, place in zip(blocks, places, strict=True):
                self._check(block, place)
            scenes, channels = _all_of(places, "S"), _all_of(places, "C")
            scene = scenes[choice.index("position", str(path), [""] * len(scenes))]
            channel = channels[choice.index("channel", str(path), [""] * len(channels))]
            chosen = [
                (tuple(_start(place, axis) for axis in _ORDER), number)
                for number, place in enumerate(places)
                if _start(place, "S") == scene and _start(place, "C") == channel
            ]
            if not chosen:
                raise InputError(f"{path}: has no frames of this position and channel")
            if len({place for place, _ in chosen}) < len(chosen):
                raise InputError(f"{path}: names a frame twice; damaged, or a picture of several tiles")
            ordered = [blocks[number] for _, number in sorted(chosen)]
            size = path.stat().st_size
            there = [self._stored_whole(block, size) for block in ordered]
            last = max((place for place, one in enumerate(there) if one), default=-1) + 1
        self._stopped_early(last, len(ordered))
        self._blocks = ordered[:last]
        self._count = last

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts; raises InputError if it is damaged."""
        block = self._blocks[index]
        try:
            self._opened()
            if block.compression in (5, 6):
                pixels = _zstandard(block, block.data_segment().data(raw=True))
            else:
                pixels = np.asarray(block.data_segment().data(resize=False))
            return pixels.reshape(_plane(block))
        except Exception as error:
            raise self._damaged(index) from error

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._file is not None:
            self._file.close()

    def _opened(self) -> Any:
        if self._file is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a directory that is missing: its blocks are then looked for
                self._file = self._library.CziFile(str(self._path), multifile=False, detectmosaic=False)
                _ = self._file.subblock_directory
        elif self._file._fh.closed:
            self._file._fh.open()
        return self._file

    def _check(self, block: Any, place: dict[str, Any]) -> None:
        if np.dtype(block.dtype).shape:
            raise InputError(f"{self._path}: a colour image; save it as one grey channel")
        if block.compression not in _READ:
            raise InputError(f"{self._path}: compressed in a way that is not read; save it uncompressed with ZEN")
        height, width = _plane(block)
        self._checked_size(height, width, np.dtype(block.dtype))
        if any(one.size != 1 for axis, one in place.items() if axis not in "XY"):
            raise InputError(f"{self._path}: stores several frames in one block, which is not read; save it as TIFF")

    def _stored_whole(self, block: Any, file_size: int) -> bool:
        if block.file_position < 0 or block.file_position + 32 > file_size:
            return False
        segment = block.data_segment()
        return bool(segment.data_size > 0 and segment.data_offset + segment.data_size <= file_size)


def _plane(block: Any) -> tuple[int, int]:
    stored = {one.dimension: one.stored_size for one in block.dimension_entries}
    return stored["Y"], stored["X"]


def _start(place: dict[str, Any], axis: str) -> int:
    return place[axis].start if axis in place else 0


def _all_of(places: list[dict[str, Any]], axis: str) -> list[int]:
    return sorted({_start(place, axis) for place in places})


def _zstandard(block: Any, data: bytes) -> np.ndarray:
    """Return the pixels of a Zstandard block (``zstd0``, ``zstd1`` of the CZI specification)."""
    from imagecodecs import zstd_decode

    dtype = np.dtype(block.dtype)
    height, width = _plane(block)
    apart = False
    if block.compression == 6:
        # A header: its length, and if that is 3 a chunk of type 1 whose lowest bit says that low bytes come first.
        length = data[0]
        apart = length >= 3 and data[1] == 1 and bool(data[2] & 1)
        data = data[length:]
    pixels = np.frombuffer(zstd_decode(data, out=height * width * dtype.itemsize), np.uint8)
    if apart:
        pixels = np.ascontiguousarray(pixels.reshape(2, -1).T)
    return pixels.reshape(-1).view(dtype)
