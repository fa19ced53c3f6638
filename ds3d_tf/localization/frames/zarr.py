"""Frames in a Zarr array or an OME-Zarr image, read chunk by chunk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.choice import Choice, is_channel, is_position
from ds3d_tf.localization.frames.missing import refuse_or_remark
from ds3d_tf.localization.frames.size_checks import check_zarr, missing_chunk, missing_chunks

_MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_ROWS, _COLUMNS = ("y", "row", "rows", "height"), ("x", "col", "cols", "column", "columns", "width")


class ZarrFrames:
    """The planes of a Zarr array ``[…, row, column]``, or of the full-resolution image of an OME-Zarr group.

    Where the array names its axes, these names decide what is a row, a column, a channel, a position; all others count
    frames, in the array's order. The frames of one chunk are kept until a frame of another is asked for, so each chunk
    is decoded once.
    """

    def __init__(self, path: Path, choice: Choice | None = None, keep_damaged: bool = False) -> None:
        """Open the array.

        Args:
            path: folder of the array or group.
            choice: the position and the channel that are meant.
            keep_damaged: count frames whose chunks are missing as damaged ones instead of refusing the array.

        Raises InputError if there is no array, chunks are missing, or it has several channels or positions and none is
        chosen.
        """
        self._path = path
        self.remarks: tuple[str, ...] = ()
        choice = choice or Choice()
        self._array, axes, channels, choice = _open(path, choice)
        places = _row_and_column(axes, path)
        self._flipped = places[0] > places[1]
        self._fixed: dict[int, int | slice] = dict.fromkeys(places, slice(None))
        taken = set()
        longer = [name for place, name in enumerate(axes) if place not in places and self._array.shape[place] > 1]
        for place, name in enumerate(axes):
            if place in places:
                continue
            size = int(self._array.shape[place])
            if is_channel(name):
                # Beside no other axis, an axis called c is a recording's only one.
                if size > 1 and longer == [name] and choice.channel is None:
                    continue
                names = channels if len(channels) == size else [""] * size
                self._fixed[place] = choice.index("channel", str(path), names)
                taken.add("channel")
            elif is_position(name):
                self._fixed[place] = choice.index("position", str(path), [""] * size)
                taken.add("position")
        choice.only("position" not in taken, "channel" not in taken, str(path))
        self._free = [place for place in range(self._array.ndim) if place not in self._fixed]
        self._leading = tuple(int(self._array.shape[place]) for place in self._free)
        # Planes along the last free axis share a chunk; it is read as a whole.
        self._depth = int(self._array.chunks[self._free[-1]]) if self._free else 1
        self._block: tuple[tuple[int, ...], np.ndarray] | None = None
        self.remarks = refuse_or_remark(self._missing(), keep_damaged)

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
                return self._get(())
            key = (*place[:-1], place[-1] // self._depth)
            if self._block is None or self._block[0] != key:
                start = key[-1] * self._depth
                self._block = (key, self._get((*key[:-1], slice(start, start + self._depth))))
            return self._block[1][place[-1] % self._depth]
        except InputError:
            raise
        except Exception as error:  # every codec raises its own kinds of errors for a damaged chunk
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"{self.name(index)}: truncated or damaged ({reason})") from error

    def _missing(self) -> str | None:
        """Return what is missing of the array, if anything: its first chunk that is not there, and their number."""
        selection = tuple(self._fixed.get(axis, slice(None)) for axis in range(self._array.ndim))
        try:
            lost = missing_chunks(self._array, selection)
        except (OSError, OverflowError) as error:
            raise InputError(f"{self._path}: its chunks cannot be listed ({error})") from error
        if lost is None:
            return None
        first = self._number(tuple(lost.first[axis] for axis in self._free))
        return (
            f"{self._path}: {lost.number} of its {lost.total} chunks {'are' if lost.number > 1 else 'is'} missing; the "
            f"first is {lost.key}, of frame {first}"
        )

    def _check_chunks(self, place: tuple[int, ...]) -> None:
        selection = {**self._fixed, **dict(zip(self._free, place, strict=True))}
        lost = missing_chunk(self._array, tuple(selection[axis] for axis in range(self._array.ndim)))
        if lost is not None:
            raise InputError(f"{self._path} frame {self._number(place)}: its chunk {lost} is missing")

    def _number(self, place: tuple[int, ...]) -> int:
        return int(np.ravel_multi_index(place, self._leading)) + 1 if place else 1

    def close(self) -> None:
        """Release the chunk in memory."""
        self._block = None

    def _get(self, leading: tuple[int | slice, ...]) -> np.ndarray:
        """Return ``[H, W]``, or ``[F, H, W]`` if the last of the free axes is a slice."""
        selection = {**self._fixed, **dict(zip(self._free, leading, strict=True))}
        block = np.asarray(self._array[tuple(selection[place] for place in range(self._array.ndim))])
        kept = [place for place in range(self._array.ndim) if isinstance(selection[place], slice)]
        frames = [place for place in kept if place in self._free]
        rows_columns = [place for place in kept if place not in self._free]
        if self._flipped:
            rows_columns.reverse()
        return block.transpose([kept.index(place) for place in (*frames, *rows_columns)])


def is_zarr(folder: Path) -> bool:
    """Return whether a folder is a Zarr array or group, or its name says so."""
    return folder.suffix.lower() == ".zarr" or any((folder / mark).is_file() for mark in _MARKS)


def _row_and_column(axes: list[str], path: Path) -> tuple[int, int]:
    """Return which axes are rows and columns: the named ones, else the last two."""
    rows = [place for place, name in enumerate(axes) if name in _ROWS]
    columns = [place for place, name in enumerate(axes) if name in _COLUMNS]
    if len(rows) == 1 and len(columns) == 1:
        return rows[0], columns[0]
    if rows or columns:
        raise InputError(f"{path}: its axes are called {', '.join(axes)}; expected one named y and one named x")
    return len(axes) - 2, len(axes) - 1


def _open(path: Path, choice: Choice) -> tuple[Any, list[str], list[str], Choice]:
    """Return the array, the names of its axes (empty where unnamed) and channels, and what is left to choose."""
    import zarr

    try:
        node = zarr.open(path, mode="r")
    except Exception as error:  # Zarr raises many kinds of errors for a folder that is not its own
        raise InputError(f"{path}: not a Zarr array or group, or damaged") from error
    axes: list[str] | None = None
    channels: list[str] = []
    if isinstance(node, zarr.Group):
        inside = _collection(node)
        if inside:
            node = _member(node, inside[choice.index("position", str(path), inside)], path)
            choice = Choice(None, choice.channel)
        node, axes, channels = _image_of(node, path)
    if node.ndim < 2:
        raise InputError(f"{path}: expected an array [frame, row, column], got {node.ndim} dimensions")
    if axes is None:
        # Zarr 3 names the axes in the array's own description, xarray in an attribute.
        names: Any = getattr(node.metadata, "dimension_names", None) or _named_by_xarray(node)
        axes = [str(name or "") for name in names]
    if len(axes) != node.ndim:
        axes = [""] * node.ndim
    check_zarr(node, path)
    return node, [name.lower() for name in axes], channels, choice


def _named_by_xarray(node: Any) -> list[Any]:
    try:
        names = dict(node.attrs).get("_ARRAY_DIMENSIONS")
    except Exception:  # the attributes of other programs may have any content
        return []
    return names if isinstance(names, list) else []


def _collection(group: Any) -> list[str]:
    """Return the paths of the images of a plate or of a collection by Bio-Formats; none for another group."""
    import zarr

    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    described = ome if isinstance(ome, dict) else attributes
    try:
        if "plate" in described:
            wells = [str(well["path"]) for well in described["plate"]["wells"]]
            return [f"{well}/{image}" for well in wells for image in _fields(group[well])]
        if "bioformats2raw.layout" in described:
            return sorted(
                (name for name, node in group.members() if isinstance(node, zarr.Group) and name.isdigit()), key=int
            )
    except Exception:  # the metadata of other programs may have any content; what is missing is said later
        return []
    return []


def _fields(well: Any) -> list[str]:
    attributes = dict(well.attrs)
    return [str(image["path"]) for image in attributes.get("ome", attributes)["well"]["images"]]


def _member(group: Any, name: str, path: Path) -> Any:
    try:
        return group[name]
    except Exception as error:  # Zarr raises many kinds of errors for a folder that is not its own
        raise InputError(f"{path}: its image {name} is missing or damaged") from error


def _image_of(group: Any, path: Path) -> tuple[Any, list[str] | None, list[str]]:
    """Return the largest image of an OME-Zarr group (versions 0.4 and 0.5), or the only array of a plain one."""
    import zarr

    try:
        attributes = dict(group.attrs)
        ome = attributes.get("ome")
        attributes = ome if isinstance(ome, dict) else attributes
        images = attributes.get("multiscales", [])
        if images:
            axes = [axis["name"] if isinstance(axis, dict) else str(axis) for axis in images[0].get("axes", [])]
            shown = (attributes.get("omero") or {}).get("channels") or []
            channels = [str(channel.get("label") or "") for channel in shown]
            return group[images[0]["datasets"][0]["path"]], axes or None, channels
        arrays = [node for _, node in group.members() if isinstance(node, zarr.Array)]
    except Exception as error:  # the metadata of other programs may have any content
        raise InputError(f"{path}: its OME-Zarr description is damaged, or its image is missing") from error
    if len(arrays) != 1:
        raise InputError(
            f"{path}: a Zarr group of {len(arrays)} arrays without an OME-Zarr image; give the path of one array"
        )
    return arrays[0], None, []
