"""From an open TIFF file to its planes in order: one channel of one position, and what of them really is there."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.choice import Choice, is_channel, is_position
from ds3d_tf.localization.frames.missing import refuse_or_remark
from ds3d_tf.localization.frames.ome_sets import missing_files
from ds3d_tf.localization.frames.size_checks import check_ome_planes
from ds3d_tf.localization.frames.tiff import UnreadableKind, data_end

# Kinds of files whose header says more than their pages do.
_DESCRIBED = ("ome", "imagej", "stk", "lsm", "fluoview", "nih", "scanimage", "sis")
_LARGEST_UNEXPLAINED_BYTES = 1 << 20
_SMALLEST_UNEXPLAINED_BYTES = 1 << 12


@dataclass
class Planes:
    """The planes of a file in order.

    Attributes:
        pages: tifffile's pages, one a plane; None in it stands for a plane that the file lacks.
        stack: array ``[F, H, W]`` of counts instead of pages, where planes follow one another under one header.
        lost: why one more plane, counted but damaged, is not there.
        remarks: what a user should know.
    """

    pages: Any
    stack: np.ndarray | None = None
    lost: str | None = None
    remarks: tuple[str, ...] = ()


def find_planes(tiff: Any, where: str, choice: Choice, keep_damaged: bool) -> Planes:
    """Return the planes of an open tifffile.TiffFile.

    A file that promises more planes than it has gives those that are whole, with a remark; with ``keep_damaged``, the
    missing end is one more plane, which is damaged.

    Raises InputError for planes that are missing before the end or with a file of an OME set, for several channels or
    positions without a choice, or a file whose planes cannot be told.
    """
    described = _described(tiff, where, choice)
    broken = _broken_chain(tiff)
    planes = described or Planes(tiff.pages)
    if described is None:
        choice.only(True, True, where)
    promised = _promised(tiff, planes)
    if broken and planes.stack is None:
        _refuse_hidden_planes(tiff, where, broken, keep_damaged)
    elif planes.stack is None and not tiff.is_ome:
        _refuse_unexplained(tiff, where, len(planes.pages))
    remarks = refuse_or_remark(_missing(tiff, where, described), keep_damaged)
    found = _without_missing_end(planes, where, promised, broken, keep_damaged)
    found.remarks = (*remarks, *found.remarks)
    return found


def _missing(tiff: Any, where: str, planes: Planes | None) -> str | None:
    """Return which planes of an OME recording are not there: before its end, or in a file that is missing."""
    if planes is None or not tiff.is_ome or planes.stack is not None:
        return None
    there = [page is not None for page in (planes.pages[place] for place in range(len(planes.pages)))]
    files = missing_files(tiff.ome_metadata, Path(tiff.filehandle.path))
    if not files:
        while there and not there[-1]:  # it stopped early
            there.pop()
    if all(there):
        return None
    named = f"; of its files, {files[0]}{' and others are' if len(files) > 1 else ' is'} not there" if files else ""
    first = there.index(False) + 1
    return f"{where}: {there.count(False)} of its {len(there)} frames are missing, the first is {first}{named}"


def check_codec(tiff: Any, where: str) -> None:
    """Raise UnreadableKind if no installed package decodes the file's pixels."""
    import tifffile

    compression = tiff.pages[0].compression
    try:
        tifffile.TIFF.DECOMPRESSORS[compression]
    except KeyError as error:
        name = getattr(compression, "name", compression)
        hint = "pip install imagecodecs" if "imagecodecs" in str(error) else "save it without compression"
        raise UnreadableKind(f"{where}: its pixels are compressed by {name}, which cannot be read; {hint}") from error


def _described(tiff: Any, where: str, choice: Choice) -> Planes | None:
    """Return the planes as the file's header describes them; None if it describes no more than the pages."""
    shaped = tiff.is_shaped
    if not (shaped or any(getattr(tiff, f"is_{kind}", False) for kind in _DESCRIBED)):
        return None
    all_series = [one for one in tiff.series if len(one.shape) >= 2]
    if tiff.is_lsm:  # the others are small pictures to recognize the planes by
        all_series = all_series[:1]
    if not all_series or (shaped and not tiff.is_ome and len(all_series) > 1):
        return None
    names = [one.name or "" for one in all_series] if len(all_series) > 1 else [""]
    place = 0
    if len(all_series) > 1:
        place, choice = choice.index("position", where, names), Choice(None, choice.channel)
    one = all_series[place]
    if tiff.is_imagej and not tiff.is_ome and len(tiff.pages) == 1 and one.ndim == 2:
        cut = _cut_imagej_stack(tiff, where, choice)
        if cut is not None:
            return cut
    planes = planes_of_series(tiff, one, where, choice, _channel_names(tiff, place))
    if tiff.is_ome and planes.stack is None and len(all_series) == 1 and not _has_other_sizes(tiff):
        check_ome_planes(tiff, one.pages, where)
    return planes


def planes_of_series(tiff: Any, series: Any, where: str, choice: Choice, channel_names: list[str]) -> Planes:
    """Return the planes of one of tifffile's series: the chosen channel and position, all else as frames in order.

    Raises InputError for several channels or positions without a choice.
    """
    axes, shape = series.axes, series.shape
    if "S" in axes or axes[-2:] != "YX":
        choice.only(True, True, where)
        return Planes(tiff.pages)
    leading, sizes = axes[:-2], shape[:-2]
    total = math.prod(sizes)
    chosen = _chosen_planes(leading, sizes, where, choice, channel_names)
    pages = series.pages if tiff.is_ome or tiff.is_lsm else tiff.pages
    if len(series.pages) == total:
        if len(chosen) == total and not tiff.is_ome:
            return Planes(pages)
        return Planes(Picked(pages, chosen))
    first = tiff.pages[0]
    if len(series.pages) == 1 and series.dataoffset is not None and first.compression == 1:
        dtype = series.dtype.newbyteorder(tiff.byteorder)
        return _stacked(tiff, where, series.dataoffset, dtype, shape[-2:], total, chosen)
    if total == len(tiff.pages) and len(chosen) == total:
        return Planes(tiff.pages)
    if len(chosen) < total or total > len(tiff.pages) > 1:
        return _too_few(tiff, where, total, chosen)
    if total > 1:
        raise UnreadableKind(
            f"{where}: holds {total} planes under {len(tiff.pages)} headers, packed in a way that is not read; "
            "save it as a plain TIFF stack"
        )
    return Planes(tiff.pages)


def _stacked(
    tiff: Any, where: str, offset: int, dtype: np.dtype, shape: tuple[int, ...], total: int, chosen: np.ndarray
) -> Planes:
    """Return the chosen of the planes that follow one another from ``offset``, as far as the file goes."""
    plane, size = math.prod(shape) * dtype.itemsize, tiff.filehandle.size
    count = min(total, max(0, size - offset) // max(plane, 1))
    stack: Any = np.zeros((0, *shape), dtype)
    if count:
        stack = np.memmap(tiff.filehandle.path, dtype, "r", offset, (count, *shape))
    if len(chosen) < total:
        stack = Picked(stack, chosen[chosen < count])
    needed = offset + total * plane
    lost = f"{where}: truncated; the file has {size} bytes and should have {needed}" if count < total else None
    return Planes(tiff.pages, stack, lost)


def _cut_imagej_stack(tiff: Any, where: str, choice: Choice) -> Planes | None:
    """Return the planes of an ImageJ stack under one header whose end is missing; tifffile sees one plane in it."""
    described, page = tiff.imagej_metadata or {}, tiff.pages[0]
    sizes = tuple(int(described.get(name, 1)) for name in ("frames", "slices", "channels"))
    total = int(described.get("images", 1))
    if total < 2 or page.ndim != 2 or page.compression != 1:
        return None
    if math.prod(sizes) != total:
        sizes = (total, 1, 1)
    chosen = _chosen_planes("TZC", sizes, where, choice, [])
    return _stacked(
        tiff, where, page.dataoffsets[0], page.dtype.newbyteorder(tiff.byteorder), page.shape, total, chosen
    )


class Picked:
    """Some of the planes of an array or a file, read when asked for."""

    def __init__(self, array: Any, index: np.ndarray) -> None:
        self._array, self._index = array, index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, place: int) -> Any:
        return self._array[int(self._index[place])]


def _too_few(tiff: Any, where: str, total: int, chosen: np.ndarray) -> Planes:
    """Return the chosen of the pages that are there, where a header promises more."""
    there = len(tiff.pages)
    return Planes(
        Picked(tiff.pages, chosen[chosen < there]),
        lost=f"{where}: truncated; its header promises {total} images, {there} are there",
    )


def _chosen_planes(leading: str, sizes: tuple[int, ...], where: str, choice: Choice, names: list[str]) -> np.ndarray:
    """Return the indices of the chosen planes, of all in the order of the leading axes."""
    index = np.arange(math.prod(sizes)).reshape(sizes)
    longer = [axis for axis, size in zip(leading, sizes, strict=True) if size > 1]
    selector: list[Any] = [slice(None)] * len(sizes)
    taken = set()
    for place, (axis, size) in enumerate(zip(leading, sizes, strict=True)):
        if is_channel(axis):
            # Some programs call the only axis of a recording C; beside another axis, C really means channels.
            if size > 1 and longer == [axis] and choice.channel is None:
                continue
            selector[place] = choice.index("channel", where, names if len(names) == size else [""] * size)
            taken.add("channel")
        elif is_position(axis):
            selector[place] = choice.index("position", where, [""] * size)
            taken.add("position")
    choice.only("position" not in taken, "channel" not in taken, where)
    return np.ravel(index[tuple(selector)])


def _channel_names(tiff: Any, place: int) -> list[str]:
    if not tiff.is_ome:
        return []
    text = tiff.ome_metadata or ""
    images = re.findall(r"<(?:\w+:)?Image\b.*?</(?:\w+:)?Image>", text, re.DOTALL)
    tags = re.findall(r"<(?:\w+:)?Channel\b[^>]*>", images[place]) if place < len(images) else []
    return [found[1] if (found := re.search(r'\bName="([^"]*)"', tag)) else "" for tag in tags]


def _has_other_sizes(tiff: Any) -> bool:
    """Return whether the file holds pages of another size, such as a small picture to recognize it by."""
    import tifffile

    with tifffile.TiffFile(tiff.filehandle.path, _multifile=False) as again:
        return len({page.shape for page in again.pages}) > 1


def _promised(tiff: Any, planes: Planes) -> int:
    """Return how many planes the header promises, 0 if it does not say."""
    if tiff.is_imagej and not tiff.is_ome and planes.lost is None:
        images = (tiff.imagej_metadata or {}).get("images", 0)
        return int(images) if isinstance(images, int) else 0
    return 0


def _broken_chain(tiff: Any) -> str | None:
    """Return why the last page points to one that cannot be read: tifffile stops there silently."""
    form, handle = tiff.tiff, tiff.filehandle
    pages = len(tiff.pages)
    start = tiff.pages[pages - 1].offset
    handle.seek(start)
    (tags,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(start + form.tagnosize + tags * form.tagsize)
    (following,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
    if not following:
        return None
    return f"the page after number {pages} should be at byte {following} of {handle.size}"


def _refuse_hidden_planes(tiff: Any, where: str, broken: str, keep_damaged: bool) -> None:
    """Refuse a broken file that holds planes to which no page leads any more."""
    first = tiff.pages[0]
    hidden = _unexplained_bytes(tiff, len(tiff.pages)) // max(first.nbytes, 1)
    if hidden and not keep_damaged and first.compression == 1:
        raise InputError(
            f"{where}: truncated or damaged after page {len(tiff.pages)}; {broken}; about {hidden} more frames are in "
            "the file without a header, copy it again or save it with the program that recorded it"
        )


def _refuse_unexplained(tiff: Any, where: str, planes: int) -> None:
    """Refuse a file much larger than its planes: it holds more than its directories say."""
    first = tiff.pages[0]
    if first.compression != 1 or getattr(first, "subifds", None) or first.ndim != 2:
        return
    rest = _unexplained_bytes(tiff, planes)
    if rest < max(first.nbytes, _SMALLEST_UNEXPLAINED_BYTES) or (
        planes > 1 and rest < planes * first.nbytes + _LARGEST_UNEXPLAINED_BYTES
    ):
        return
    raise UnreadableKind(
        f"{where}: {planes} plane{'s' * (planes > 1)} of {first.nbytes} bytes in a file of {tiff.filehandle.size}; it "
        f"seems to hold {rest // first.nbytes} more in a way that is not read; save it as a plain TIFF stack with Fiji"
    )


def _unexplained_bytes(tiff: Any, planes: int) -> int:
    """Return how many bytes of the file belong to no page or tag; 0 where the rest is empty."""
    first, size = tiff.pages[0], tiff.filehandle.size
    tags = sum(tag.valuebytecount for tag in first.tags)
    rest = size - planes * first.nbytes - tags
    if rest < first.nbytes:
        return max(rest, 0)
    tiff.filehandle.seek(max(size - first.nbytes, 0))
    return rest if any(tiff.filehandle.read(first.nbytes)) else 0


def _without_missing_end(planes: Planes, where: str, promised: int, broken: str | None, keep_damaged: bool) -> Planes:
    """Return the planes that are there: without a last one that is cut, and those a header promises in vain."""
    pages, lost = planes.pages, planes.lost
    if planes.stack is None:
        count = len(pages)
        # Planes that an OME header lists and that are not there at the end; gaps before them are damaged frames.
        while count and (pages[count - 1] is None or not data_end(pages[count - 1])):
            count -= 1
        if count < len(pages):
            lost = f"{where}: stopped early; its header promises {len(pages)} frames, {count} are there"
        if count > 1 and data_end(pages[count - 1]) > pages[count - 1].parent.filehandle.size and not keep_damaged:
            count -= 1
            lost = lost or f"{where}: truncated in frame {count + 1}"
        if count < len(pages):
            pages = Picked(pages, np.arange(count))
        lost = lost or (f"{where}: truncated or damaged after page {count}; {broken}" if broken else None)
    there = len(pages) if planes.stack is None else len(planes.stack)
    if promised > there:
        lost = lost or f"{where}: truncated; its header promises {promised} images, {there} are there"
    if lost is None:
        return Planes(pages, planes.stack)
    if keep_damaged:
        return Planes(pages, planes.stack, lost)
    if not there:
        raise InputError(lost)
    remark = f"{lost}; the {there} whole frame{'s' * (there > 1)} {'are' if there > 1 else 'is'} read"
    return Planes(pages, planes.stack, None, (remark,))
