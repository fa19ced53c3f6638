"""Frames in a Zarr array or an OME-Zarr image, read chunk by chunk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.size_checks import check_zarr, missing_chunk

_MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


class ZarrFrames:
    """The planes of a Zarr array ``[…, row, column]``, or of the full-resolution image of an OME-Zarr group.

    The frames of one chunk are kept until a frame of another is asked for, so each chunk is decoded once.
    """

    def __init__(self, path: Path) -> None:
        """Open the array; raises InputError if there is no array, or it has several channels."""
        self._path = path
        self._array, axes = _open(path)
        self._leading = tuple(int(size) for size in self._array.shape[:-2])
        longer = [name for name, size in zip(axes, self._leading, strict=True) if size > 1]
        if "c" in longer and len(longer) > 1:
            raise InputError(f"{path}: holds several channels; save the channel to localize separately")
        # Planes along the last leading axis share a chunk; it is read as a whole.
        self._depth = int(self._array.chunks[-3]) if self._leading else 1
        self._block: tuple[tuple[int, ...], np.ndarray] | None = None

    def __len__(self) -> int:
        return math.prod(self._leading)

    def name(self, index: int) -> str:
        """Return ``file frame n``."""
        return f"{self._path} frame {index + 1}"

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts; raises InputError if its chunk is damaged."""
        place = tuple(int(i) for i in np.unravel_index(index, self._leading)) if self._leading else ()
        try:
            self._check_chunks(place)
            if not place:
                return self._array[:]
            key = (*place[:-1], place[-1] // self._depth)
            if self._block is None or self._block[0] != key:
                start = key[-1] * self._depth
                self._block = (key, self._array[(*key[:-1], slice(start, start + self._depth))])
            return self._block[1][place[-1] % self._depth]
        except InputError:
            raise
        except Exception as error:  # every codec raises its own kinds of errors for a damaged chunk
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"{self.name(index)}: truncated or damaged ({reason})") from error

    def _check_chunks(self, place: tuple[int, ...]) -> None:
        lost = missing_chunk(self._array, (*place, *(slice(0, size) for size in self._array.shape[-2:])))
        if lost is not None:
            raise InputError(f"{self._path} frame {self._number(place)}: its chunk {lost} is missing")

    def _number(self, place: tuple[int, ...]) -> int:
        return int(np.ravel_multi_index(place, self._leading)) + 1 if place else 1

    def close(self) -> None:
        """Release the chunk in memory."""
        self._block = None


def is_zarr(folder: Path) -> bool:
    """Return whether a folder is a Zarr array or group, or its name says so."""
    return folder.suffix.lower() == ".zarr" or any((folder / mark).is_file() for mark in _MARKS)


def _open(path: Path) -> tuple[Any, list[str]]:
    """Return the array and the names of its leading axes (empty where unnamed)."""
    import zarr

    try:
        node = zarr.open(path, mode="r")
    except Exception as error:  # Zarr raises many kinds of errors for a folder that is not its own
        raise InputError(f"{path}: not a Zarr array or group, or damaged") from error
    axes: list[str] | None = None
    if isinstance(node, zarr.Group):
        node, axes = _image_of(node, path)
    if node.ndim < 2:
        raise InputError(f"{path}: expected an array [frame, row, column], got {node.ndim} dimensions")
    if axes is None or len(axes) != node.ndim:
        axes = [""] * node.ndim
    check_zarr(node, path)
    return node, [name.lower() for name in axes[:-2]]


def _image_of(group: Any, path: Path) -> tuple[Any, list[str] | None]:
    """Return the largest image of an OME-Zarr group (versions 0.4 and 0.5), or the only array of a plain one."""
    import zarr

    try:
        attributes = dict(group.attrs)
        images = (attributes.get("ome", attributes) or {}).get("multiscales", [])
        if images:
            axes = [axis["name"] if isinstance(axis, dict) else str(axis) for axis in images[0].get("axes", [])]
            return group[images[0]["datasets"][0]["path"]], axes or None
        arrays = [node for _, node in group.members() if isinstance(node, zarr.Array)]
    except Exception as error:  # the metadata of other programs may have any content
        raise InputError(f"{path}: its OME-Zarr description is damaged, or its image is missing") from error
    if len(arrays) != 1:
        raise InputError(
            f"{path}: a Zarr group of {len(arrays)} arrays without an OME-Zarr image; give the path of one array"
        )
    return arrays[0], None
