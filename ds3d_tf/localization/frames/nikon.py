"""Frames in a Nikon file (.nd2), read by the library nd2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.optional import require
from ds3d_tf.localization.frames.camera_file import CameraFile
from ds3d_tf.localization.frames.choice import Choice


class NikonFrames(CameraFile):
    """The planes of one position and one channel of a .nd2 file, in the order in which they were recorded."""

    def __init__(self, path: Path, choice: Choice) -> None:
        """Open the file; raises InputError if it is damaged, or holds several positions and none is chosen."""
        super().__init__(path, "a Nikon file")
        require(str(path), "formats", "nd2")
        import nd2

        self._library = nd2
        self._file: Any = None
        with self._opening():
            file = self._opened()
            sizes = dict(file.sizes)
            if "S" in sizes:
                raise InputError(f"{path}: a colour image; save it as one grey channel")
            self._checked_size(sizes["Y"], sizes["X"], file.dtype)
            self._shape = sizes["Y"], sizes["X"]
            positions = _position_names(file, sizes.get("P", 1))
            channels = _channel_names(file, sizes.get("C", 1))
            loops = list(file.loop_indices) or [{}]
        position = choice.index("position", str(path), positions)
        self._channel = choice.index("channel", str(path), channels)
        wanted = [number for number, loop in enumerate(loops) if loop.get("P", 0) == position]
        stored = _stored(file)
        there = [number in stored if stored is not None else True for number in wanted]
        last = max((place for place, one in enumerate(there) if one), default=-1) + 1
        self._stopped_early(last, len(wanted))
        self._numbers, self._there = wanted[:last], there[:last]
        self._count = last

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts; raises InputError if it is damaged."""
        if not self._there[index]:
            raise InputError(f"{self.name(index)}: is missing from the file")
        try:
            frame = np.array(self._opened().read_frame(self._numbers[index]))
        except Exception as error:
            raise self._damaged(index) from error
        if frame.shape != self._shape:
            planes = frame.reshape(-1, *self._shape) if frame.size % (self._shape[0] * self._shape[1]) == 0 else ()
            if self._channel >= len(planes):
                raise self._damaged(index)
            frame = planes[self._channel]
        return frame

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _opened(self) -> Any:
        if self._file is None:
            self._file = self._library.ND2File(self._path)
        return self._file


def _position_names(file: Any, count: int) -> list[str]:
    for loop in file.experiment:
        if loop.type == "XYPosLoop":
            names = [point.name or "" for point in loop.parameters.points]
            return names if len(names) == count else [""] * count
    return [""] * count


def _channel_names(file: Any, count: int) -> list[str]:
    names = [channel.channel.name or "" for channel in file.metadata.channels or []]
    return names if len(names) == count else [""] * count


def _stored(file: Any) -> set[int] | None:
    """Return the numbers of the frames that lie in the file as a whole, or None if the library does not tell.

    The library reads others as zeros without a word.
    """
    reader = getattr(file, "_rdr", None)
    offsets = getattr(reader, "_frame_offsets", None)
    if not isinstance(offsets, dict):
        return None
    chunks = getattr(reader, "chunkmap", {})
    size = Path(file.path).stat().st_size
    ends = {number: chunks.get(f"ImageDataSeq|{number}!".encode(), (0, 0)) for number in offsets}
    return {number for number, (offset, length) in ends.items() if offset + length <= size and number in offsets}
