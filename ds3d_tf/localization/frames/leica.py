"""Frames in a Leica file (.lif), read by the library liffile."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.optional import require
from ds3d_tf.localization.frames.camera_file import CameraFile
from ds3d_tf.localization.frames.choice import Choice


class LeicaFrames(CameraFile):
    """The planes of one image and one channel of a .lif file; its images are the positions."""

    def __init__(self, path: Path, choice: Choice) -> None:
        """Open the file; raises InputError if it is damaged, or has several images and none is chosen."""
        super().__init__(path, "a Leica file")
        require(str(path), "formats", "liffile")
        import liffile

        self._library = liffile
        self._file: Any = None
        self._planes: np.ndarray | None = None
        with self._opening():
            file = self._opened()
            if file.type != liffile.LifFileType.LIF:
                raise InputError(f"{path}: describes other files; give a .lif file that holds its images itself")
            images = list(file.images)
            if not images:
                raise InputError(f"{path}: holds no images; its recording may have been stopped")
            self._image = choice.index("position", str(path), [image.name for image in images])
            sizes = dict(images[self._image].sizes)
            if "S" in sizes or not {"Y", "X"} <= set(sizes):
                raise InputError(f"{path}: a colour image or no image; save one grey channel")
            if sizes.get("M", 1) > 1:
                raise InputError(f"{path}: a picture of several tiles; save the frames of one field of view")
            channels = [axis for axis in sizes if axis.startswith("C")]
            count = math.prod(sizes[axis] for axis in channels)
            self._channel = choice.index("channel", str(path), [""] * count)
            self._checked_size(sizes["Y"], sizes["X"], images[self._image].dtype)
            self._order = [*channels, *sorted(set(sizes) - {*channels, "Y", "X"}, key=list(sizes).index), "Y", "X"]
            self._count = len(self._mapped())

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts; raises InputError if it is damaged."""
        try:
            return np.array(self._mapped()[index])
        except Exception as error:
            raise self._damaged(index) from error

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        self._planes = None
        if self._file is not None:
            self._file.close()
        self._file = None

    def _mapped(self) -> Any:
        """Return the planes of the chosen channel, in the file: an array, or what looks frames up in it."""
        if self._planes is None:
            image = self._opened().images[self._image]
            stored = image.asarray(out="memmap")
            axes = list(image.sizes)
            ordered = stored.transpose([axes.index(axis) for axis in self._order])
            leading = ordered.shape[:-2]
            channels = math.prod(n for n, axis in zip(leading, self._order, strict=False) if axis.startswith("C"))
            self._planes = _Planes(ordered, self._channel, math.prod(leading) // channels)  # type: ignore[assignment]
        return self._planes

    def _opened(self) -> Any:
        if self._file is None:
            self._file = self._library.LifFile(self._path)
        return self._file


class _Planes:
    """Planes ``[..., H, W]`` of one channel, looked up without a copy of the others."""

    def __init__(self, stored: np.ndarray, channel: int, count: int) -> None:
        self._stored, self._channel, self._count = stored, channel, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        place = np.unravel_index(self._channel * self._count + index, self._stored.shape[:-2] or (1,))
        return self._stored[place] if self._stored.ndim > 2 else self._stored
