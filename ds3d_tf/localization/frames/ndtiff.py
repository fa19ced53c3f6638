"""NDTiff, the storage of newer Micro-Manager and Pycro-Manager: a folder of TIFFs and one index with named axes.

The index: https://github.com/micro-manager/NDTiffStorage
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.choice import Axis, Choice, is_channel, is_position
from ds3d_tf.localization.frames.missing import refuse_or_remark
from ds3d_tf.localization.frames.tiff import UnreadableKind

INDEX = "NDTiff.index"
_DTYPES = {0: np.uint8, 1: np.uint16, 3: np.uint16, 4: np.uint16, 5: np.uint16, 6: np.uint16}
_Entry = tuple[Any, ...]


class NDTiffFrames:
    """The planes of one position and one channel of an NDTiff folder, in the order of its other axes."""

    def __init__(self, folder: Path, choice: Choice, keep_damaged: bool = False) -> None:
        """Read the index.

        Args:
            folder: of the recording.
            choice: the position and the channel that are meant.
            keep_damaged: count frames before the last whole one that are not there as damaged ones.

        Raises InputError if the index is damaged, such frames are missing, or there are several positions or channels
        and none is chosen.
        """
        import tifffile

        self._folder = folder
        self.remarks: tuple[str, ...] = ()
        self._maps: dict[str, np.ndarray] = {}
        try:
            entries: list[_Entry] = list(tifffile.tifffile.read_ndtiff_index(folder / INDEX))
        except Exception as error:  # tifffile raises many kinds of errors for a damaged index
            raise InputError(f"{folder}: its {INDEX} cannot be read") from error
        if not entries:
            raise InputError(f"{folder}: its {INDEX} lists no frames")
        # An image that was written twice counts once: the later entry is the one that viewers show.
        entries = list({tuple(sorted(entry[0].items(), key=str)): entry for entry in entries}.values())
        for axis in dict.fromkeys(name for entry in entries for name in entry[0]):
            if is_channel(axis):
                entries = self._only(entries, axis, "channel", choice)
            elif is_position(axis):
                entries = self._only(entries, axis, "position", choice)
        named = {name for entry in entries for name in entry[0]}
        choice.only(not any(map(is_position, named)), not any(map(is_channel, named)), str(folder))
        order = sorted((name for name in named if not is_channel(name) and not is_position(name)), key=_axis_order)
        entries.sort(key=lambda entry: [_value_order(entry[0].get(name, 0)) for name in order])
        whole = [self._is_whole(entry) for entry in entries]
        count = max((place + 1 for place, one in enumerate(whole) if one), default=0)
        missing = None
        if not all(whole[:count]):
            first = whole.index(False)
            missing = f"{folder}: {whole[:count].count(False)} of its frames are not whole; the first is {first + 1}, "
            missing += f"of the file {entries[first][1]}"
        self.remarks = refuse_or_remark(missing, keep_damaged)
        if count < len(entries):
            self.remarks += (f"{folder}: stopped early; {count} of {len(entries)} frames are there, and are read",)
        self._entries, self._whole = entries[:count], whole

    def __len__(self) -> int:
        return len(self._entries)

    def name(self, index: int) -> str:
        """Return the plane's file and its axes."""
        axes = ", ".join(f"{name} {value}" for name, value in self._entries[index][0].items())
        return f"{self._folder / self._entries[index][1]} ({axes})"

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts; raises InputError if it cannot be read."""
        _, file, offset, width, height, kind, compression, *_ = self._entries[index]
        if not self._whole[index]:
            raise InputError(f"{self.name(index)}: missing or truncated")
        if kind not in _DTYPES or compression:
            what = "a colour image" if kind == 2 else "compressed pixels"
            raise UnreadableKind(f"{self.name(index)}: {what}; save it as a grey TIFF stack")
        dtype = np.dtype(_DTYPES[kind])
        whole = self._map(file)
        end = offset + width * height * dtype.itemsize
        return np.array(whole[offset:end]).view(dtype.newbyteorder("<")).reshape(height, width)

    def close(self) -> None:
        """Release the files."""
        self._maps.clear()

    def _map(self, file: str) -> np.ndarray:
        if file not in self._maps:
            self._maps[file] = np.memmap(self._folder / file, np.uint8, "r")
        return self._maps[file]

    def _is_whole(self, entry: _Entry) -> bool:
        _, file, offset, width, height, kind, *_ = entry
        path = self._folder / file
        size = np.dtype(_DTYPES.get(kind, np.uint8)).itemsize
        return Path(file).name == file and path.is_file() and offset + width * height * size <= path.stat().st_size

    def _only(self, entries: list[_Entry], axis: str, kind: Axis, choice: Choice) -> list[_Entry]:
        values = sorted({entry[0].get(axis) for entry in entries}, key=_value_order)
        names = [str(value) if isinstance(value, str) else "" for value in values]
        wanted = values[choice.index(kind, str(self._folder), names)]
        return [entry for entry in entries if entry[0].get(axis) == wanted]


def is_ndtiff(folder: Path) -> bool:
    """Return whether a folder is an NDTiff dataset."""
    return (folder / INDEX).is_file()


def _axis_order(name: str) -> tuple[int, str]:
    return (0 if name.lower() in ("time", "t", "frame") else 1), name


def _value_order(value: Any) -> tuple[int, float, str]:
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value or 0), "")
