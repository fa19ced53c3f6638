"""Frames in an Imaris file (.ims), which is HDF5: https://imaris.oxinst.com/support/imaris-file-format"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.choice import Choice

_FULL = "DataSet/ResolutionLevel 0"


class ImarisFrames:
    """The planes of one channel of an Imaris file at full resolution, time by time, each from the lowest slice up."""

    def __init__(self, path: Path, choice: Choice) -> None:
        """Open the file; raises InputError if it is damaged, or has several channels and none is chosen."""
        self._path = path
        self.remarks: tuple[str, ...] = ()
        self._file: Any = None
        try:
            file = self._opened()
            times = sorted(file[_FULL], key=_number)
            channels = sorted(file[f"{_FULL}/{times[0]}"], key=_number)
            names = [_text(file.get(f"DataSetInfo/{channel}"), "Name") for channel in channels]
            image = file["DataSetInfo/Image"]
            width, height, depth = (int(_text(image, axis)) for axis in "XYZ")
        except InputError:
            raise
        except Exception as error:  # h5py raises many kinds of errors for a damaged file
            raise InputError(f"{path}: not an Imaris file, or damaged") from error
        choice.only(True, False, str(path))
        channel = channels[choice.index("channel", str(path), names)]
        self._shape = height, width
        self._planes = [
            (f"{_FULL}/{time}/{channel}/Data", z)
            for time in times
            if f"{_FULL}/{time}/{channel}/Data" in file
            for z in range(depth)
        ]

    def __len__(self) -> int:
        return len(self._planes)

    def name(self, index: int) -> str:
        """Return ``file frame n``."""
        return f"{self._path} frame {index + 1}"

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts; raises InputError if it is damaged."""
        place, z = self._planes[index]
        try:
            # Imaris fills its blocks up with zeros beyond the image.
            return self._opened()[place][z, : self._shape[0], : self._shape[1]]
        except Exception as error:  # h5py raises many kinds of errors for a damaged block
            raise InputError(f"{self.name(index)}: truncated or damaged") from error

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _opened(self) -> Any:
        import h5py

        if self._file is None:
            self._file = h5py.File(self._path, "r")
        return self._file


def _number(name: str) -> int:
    found = re.search(r"\d+$", name)
    return int(found[0]) if found else 0


def _text(group: Any, name: str) -> str:
    """Return an attribute, which Imaris stores as an array of single characters."""
    value = None if group is None else group.attrs.get(name)
    if value is None:
        return ""
    return b"".join(np.atleast_1d(value).astype("S")).decode("latin-1").strip()
