"""Micro-Manager's recordings: stacks over several files, several positions and channels, and folders of single images.

In each stack file every plane is a page with a tag of its time, slice, channel and position, and the file's header has
an index of them (https://micro-manager.org/Micro-Manager_File_Formats). The OME header is not used: a recording that
was stopped has none, or one that promises more.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.choice import Choice
from ds3d_tf.localization.frames.missing import refuse_or_remark
from ds3d_tf.localization.frames.names import natural_order
from ds3d_tf.localization.frames.tiff import data_end, pixels_of
from ds3d_tf.localization.frames.tiff_planes import check_codec

TAG = 51123
_STACK_NAME = re.compile(r"^(?P<stem>.*MMStack.*?)(?P<ending>(?:\.ome)?\.tiff?)$", re.IGNORECASE)
_CONTINUED = re.compile(r"^(?P<base>.+)_(?P<number>[1-9]\d*)$")
_IMAGE_NAMES = (
    re.compile(r"^img_channel(?P<channel>\d+)_position(?P<position>\d+)_time(?P<time>\d+)_z(?P<z>\d+)\.tiff?$", re.I),
    re.compile(r"^img_(?P<time>\d{9})_(?P<channel>.+)_(?P<z>\d{3})\.tiff?$", re.I),
)


class _Plane(NamedTuple):
    position: int
    channel: int
    time: int
    z: int
    file: int
    page: int


class MicroManagerFrames:
    """The planes of one recording by Micro-Manager, of one position and one channel, in the order of time and slice."""

    def __init__(self, files: Sequence[Path], choice: Choice, keep_damaged: bool = False) -> None:
        """Read the index of every file.

        Args:
            files: of one recording, all its positions and their further files.
            choice: the position and the channel that are meant.
            keep_damaged: count planes that are cut, or of a missing file before the last, as damaged frames instead of
                leaving them out.

        Raises InputError if a file is missing or cannot be read, or there are several positions or channels and none is
        chosen.
        """
        self._files = list(files)
        self._where = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        self._open: tuple[int, Any] | None = None
        self.remarks: tuple[str, ...] = ()
        planes, cut, summaries = [], 0, []
        for number in range(len(self._files)):
            found, lost, summary = self._guarded(lambda number=number: self._scan(number, keep_damaged), number)
            planes += found
            cut += lost
            summaries.append(summary)
        if not planes:
            raise InputError(f"{self._where}: holds no whole frame")
        summary = summaries[0]
        positions = sorted({plane.position for plane in planes})
        place = choice.index("position", self._where, [self._position_name(p, planes, summary) for p in positions])
        planes = [plane for plane in planes if plane.position == positions[place]]
        channels = sorted({plane.channel for plane in planes})
        names = _channel_names(summary)
        labels = [names[c] if c < len(names) else "" for c in channels]
        place = choice.index("channel", self._where, labels)
        self._planes = sorted(plane for plane in planes if plane.channel == channels[place])
        lost = missing_files(self._files)
        missing = f"{self._where}: its file {lost[0]} is missing" if lost else None
        self.remarks = refuse_or_remark(missing, keep_damaged)
        if lost:
            self._planes = _with_gaps(self._planes)
        self._say_what_is_missing(summary, cut)

    def __len__(self) -> int:
        return len(self._planes)

    def name(self, index: int) -> str:
        """Return the plane's file and page."""
        plane = self._planes[index]
        if plane.file < 0:
            return f"{self._where} frame {index + 1}"
        return f"{self._files[plane.file]} page {plane.page + 1}"

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column) as stored, counts; raises InputError if it is damaged."""
        plane = self._planes[index]
        if plane.file < 0:
            raise InputError(f"{self.name(index)}: its file is missing")
        return self._guarded(lambda: pixels_of(self._tiff(plane.file).pages[plane.page], self.name(index)), plane.file)

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._open is not None:
            self._open[1].close()
        self._open = None

    def __del__(self) -> None:
        if getattr(self, "_open", None) is not None:
            self.close()

    def _tiff(self, number: int) -> Any:
        import tifffile

        if self._open is None or self._open[0] != number:
            self.close()
            self._open = number, tifffile.TiffFile(self._files[number], _multifile=False)
        return self._open[1]

    def _scan(self, number: int, keep_damaged: bool) -> tuple[list[_Plane], int, dict[str, Any]]:
        """Return a file's planes, how many of them are left out because they are cut, and the recording's summary."""
        tiff = self._tiff(number)
        check_codec(tiff, str(self._files[number]))
        metadata = _metadata(tiff)
        index = {int(row[4]): row for row in metadata.get("IndexMap", ())}
        size, planes, cut = tiff.filehandle.size, [], 0
        for page_number, page in enumerate(tiff.pages):
            if not data_end(page):  # room that the program had kept for a page
                continue
            if data_end(page) > size and not keep_damaged:
                cut += 1
                continue
            row = index.get(page.offset)
            channel, z, time, position = (int(v) for v in row[:4]) if row is not None else _tagged(page)
            planes.append(_Plane(position, channel, time, z, number, page_number))
        self.close()
        return planes, cut, metadata.get("Summary") or {}

    def _position_name(self, position: int, planes: list[_Plane], summary: dict[str, Any]) -> str:
        """Return the name that is in the position's file name if it has files of its own, else the summary's."""
        files = {plane.file for plane in planes if plane.position == position}
        alone = not any(plane.file in files for plane in planes if plane.position != position)
        found = re.search(r"MMStack_(.+?)(?:\.ome)?\.tiff?$", self._files[min(files)].name, re.IGNORECASE)
        if alone and found:
            return found[1]
        listed = summary.get("StagePositions") or []
        if position < len(listed) and isinstance(listed[position], dict):
            return str(listed[position].get("Label") or listed[position].get("label") or f"Pos{position}")
        return f"Pos{position}"

    def _say_what_is_missing(self, summary: dict[str, Any], cut: int) -> None:
        promised = _number(summary.get("Frames")) * _number(summary.get("Slices"))
        there = len(self._planes)
        if cut or promised > there:
            more = f"{promised} frames were planned" if promised > there else f"{cut} more are cut off"
            self.remarks += (f"{self._where}: stopped early; {there} frames are there and are read, {more}",)

    def _guarded(self, action: Any, number: int) -> Any:
        try:
            return action()
        except InputError:
            raise
        except PermissionError as error:
            raise InputError(f"{self._files[number]}: no permission to read it") from error
        except Exception as error:  # tifffile raises many kinds of errors for a damaged file
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"{self._files[number]}: truncated or damaged ({reason})") from error


def is_micro_manager(path: Path) -> bool:
    """Return whether a TIFF file is a stack written by Micro-Manager; false if it cannot be opened."""
    import tifffile

    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            return bool(tiff.is_micromanager) and not tiff.is_ndtiff
    except Exception:  # whatever is wrong with it is said by the one who reads it
        return False


def recordings_of(files: Sequence[Path]) -> list[list[Path]]:
    """Group Micro-Manager's stack files into recordings: all positions and their further files together, in order.

    ``run_MMStack_Pos0_1.ome.tif`` continues ``run_MMStack_Pos0.ome.tif`` if that is there too.
    """
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for file in files:
        groups[(str(file.parent), file.name.split("MMStack")[0])].append(file)
    return [sorted(group, key=natural_order) for group in groups.values()]


def files_with(path: Path) -> list[Path]:
    """Return the files of the position that a stack file is of, in order: the first one and those that continue it."""
    found = _STACK_NAME.match(path.name)
    if found is None:
        return [path]
    base, ending = found["stem"], found["ending"]
    continued = _CONTINUED.match(base)
    if continued and (path.parent / f"{continued['base']}{ending}").is_file():
        base = continued["base"]
    pattern = re.compile(rf"{re.escape(base)}_[1-9]\d{{0,5}}{re.escape(ending)}")
    more = (other for other in path.parent.iterdir() if pattern.fullmatch(other.name) and other.is_file())
    return [path.parent / f"{base}{ending}", *sorted(more, key=natural_order)]


def missing_files(files: Sequence[Path]) -> list[str]:
    """Return the names of the files between the first of a position and the last one that continues it."""
    there = {(file.parent, file.name) for file in files}
    last: dict[tuple[Path, str, str], int] = {}
    for file in files:
        found = _STACK_NAME.match(file.name)
        continued = _CONTINUED.match(found["stem"]) if found else None
        if found and continued and (file.parent, f"{continued['base']}{found['ending']}") in there:
            key = file.parent, continued["base"], found["ending"]
            last[key] = max(last.get(key, 0), int(continued["number"]))
    names = [
        (folder, f"{base}_{number}{ending}")
        for (folder, base, ending), end in last.items()
        for number in range(1, min(end, 10**6))
    ]
    return [name for folder, name in names if (folder, name) not in there]


def _with_gaps(planes: Sequence[_Plane]) -> list[_Plane]:
    """Return sorted planes with one of no file for each time and slice that is missing between them."""
    first = planes[0]
    slices = sorted({plane.z for plane in planes})
    there = {(plane.time, plane.z): plane for plane in planes}
    if len(there) < len(planes) or planes[-1].time > 1000 * len(planes):  # without times of their own
        return list(planes)
    every = ((time, z) for time in range(planes[-1].time + 1) for z in slices)
    return [
        there.get((time, z), _Plane(first.position, first.channel, time, z, -1, -1))
        for time, z in every
        if (time, z) <= (planes[-1].time, planes[-1].z)
    ]


def single_images(files: Sequence[Path], choice: Choice, where: str) -> list[Path] | None:
    """Return the chosen of Micro-Manager's single-image files in order of time and slice.

    None if not all ``files`` are named like them. Raises InputError for several positions or channels without a choice.
    """
    for pattern in _IMAGE_NAMES:
        found = [pattern.match(file.name) for file in files]
        if not all(found):
            continue
        parts = [{"position": "", **match.groupdict()} for match in found if match]
        kept = list(zip(files, parts, strict=True))
        for axis in ("position", "channel"):
            names = sorted({part[axis] for _, part in kept})
            wanted = names[choice.index(axis, where, names)]  # type: ignore[arg-type]
            kept = [(file, part) for file, part in kept if part[axis] == wanted]
        return [file for file, _ in sorted(kept, key=lambda one: (int(one[1]["time"]), int(one[1]["z"])))]
    return None


def _metadata(tiff: Any) -> dict[str, Any]:
    import tifffile

    try:
        return tifffile.tifffile.read_micromanager_metadata(tiff.filehandle, {"Summary", "IndexMap"})
    except Exception:  # a recording that was stopped may lack any of it
        return {}


def _tagged(page: Any) -> tuple[int, int, int, int]:
    """Return channel, slice, time and position as a page's own tag tells them, 0 where it does not."""
    tag = page.tags.get(TAG) if hasattr(page, "tags") else None
    value = tag.value if tag is not None else None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, dict):
        return 0, 0, 0, 0
    channel, z, time, position = (
        next((_number(value[key], 0) for key in keys if value.get(key) is not None), 0)
        for keys in (
            ("ChannelIndex",),
            ("SliceIndex", "Slice"),
            ("FrameIndex", "Frame"),
            ("PositionIndex",),
        )
    )
    return channel, z, time, position


def _channel_names(summary: dict[str, Any]) -> list[str]:
    names = summary.get("ChNames") or []
    if isinstance(names, str):
        try:
            names = json.loads(names)
        except ValueError:
            names = [names]
    return [str(name) for name in names] if isinstance(names, list) else []


def _number(value: Any, otherwise: int = 1) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise
