"""Recordings checked before they are decoded: sizes, missing chunks and planes, files and codecs that others name."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from ds3d_tf.common.arrays import MAX_BYTES, check_npz, check_plane, npy_header
from ds3d_tf.common.errors import InputError

CODECS = (
    *("bytes", "endian", "transpose", "crc32c", "sharding_indexed", "vlen-utf8", "vlen-bytes"),
    *("blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma"),
    *("delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "shuffle", "astype", "crc32", "adler32"),
    "fletcher32",
)
"""Codecs of Zarr arrays that are run: numbers in, numbers out. ``pickle`` and ``json2`` are not among them."""
_FEW = 8


def check_numpy(path: Path) -> None:
    """Raise InputError if a ``.npy`` or ``.npz`` recording promises more than its file or memory holds."""
    if zipfile.is_zipfile(path):
        check_npz(path, hint="; save the recording as .npy, which is read frame by frame")
        return
    with open(path, "rb") as stream:
        shape, dtype = npy_header(stream, path.stat().st_size, str(path), limit=None)
    check_plane(shape[-2:], dtype.itemsize, str(path))


def check_ome(tiff: Any, path: Path) -> None:
    """Refuse an OME header that names files outside the recording's folder, pages twice, or pages that are not there.

    ``tiff`` is tifffile's. Raises InputError; headers that are not XML are left to tifffile.
    """
    try:
        root = ElementTree.fromstring(tiff.ome_metadata)
    except (ElementTree.ParseError, TypeError, ValueError):
        return
    own_pages = 0
    for block in root.iterfind(".//{*}TiffData"):
        uuid = block.find("{*}UUID")
        name = path.name if uuid is None else uuid.get("FileName") or path.name
        base = name.replace("\\", "/").rsplit("/", 1)[-1]
        if base != name and base != path.name:
            raise InputError(
                f"{path}: its OME header names the file {name[-100:]} outside the recording's folder, which is not "
                "read; put all files of the recording into one folder"
            )
        if base == path.name and block.get("IFD") is not None:
            page = _whole(block.get("IFD")) + _whole(block.get("PlaneCount", "1")) - 1
            own_pages = max(own_pages, page + 1)
    count = len(tiff.pages)
    if own_pages > count:
        raise InputError(f"{path}: its OME header names page {own_pages}, but the file has {count}; save it again")


def check_ome_planes(tiff: Any, planes: Any, where: str) -> None:
    """Refuse an OME recording of one file whose header leaves out pages, or names one twice.

    ``tiff`` is tifffile's, ``planes`` its pages in the order of the header, ``where`` its name. Raises InputError.
    """
    places = [(page.parent.filehandle.path, page.index) for page in planes if page is not None]
    if len(set(places)) < len(places):
        raise InputError(f"{where}: its OME header names the same page for several planes; save it again")
    own = sum(place[0] == tiff.filehandle.path for place in places)
    if own < len(tiff.pages) and len(places) == own:
        raise InputError(
            f"{where}: its OME header describes {own} planes, but the file has {len(tiff.pages)}; "
            "save it again with Fiji, or as a plain TIFF"
        )


def check_zarr(array: Any, path: Path) -> None:
    """Refuse a Zarr array whose planes or chunks are too large, or that names a codec that is not for numbers.

    Raises InputError.
    """
    itemsize = np.dtype(array.dtype).itemsize
    if np.dtype(array.dtype).hasobject:
        raise InputError(f"{path}: holds Python objects, which are never read; save numbers")
    check_plane(array.shape[-2:], itemsize, str(path))
    outer = getattr(array, "shards", None) or array.chunks
    chunk = math.prod(int(size) for size in outer) * itemsize
    if chunk > MAX_BYTES:
        raise InputError(
            f"{path}: chunks of {chunk / 1e9:.3g} GB, more than the {MAX_BYTES / 1e9:.2g} GB that are read at once; "
            "save it with smaller chunks"
        )
    for codec in _codec_names(array.metadata.to_dict()):
        if codec.removeprefix("numcodecs.").lower() not in CODECS:
            raise InputError(f"{path}: its codec {codec[:60]!r} is not read here; save it with blosc, zstd or gzip")


def missing_chunk(array: Any, selection: tuple[int | slice, ...]) -> str | None:
    """Return the name of the first chunk file of a selection that is not there, or None.

    Zarr reads such chunks as zeros without a word. ``array`` is Zarr's, in a folder; ``selection`` has an index or a
    slice for each axis.
    """
    spans, root = _spans(array, selection), _folder(array)
    for place in np.ndindex(*(len(span) for span in spans)):
        key = array.metadata.encode_chunk_key(tuple(span[i] for span, i in zip(spans, place, strict=True)))
        if not (root / key).is_file():
            return str(key)
    return None


class MissingChunks(NamedTuple):
    """Chunks of a selection that are not there.

    Attributes:
        number: how many.
        total: how many the selection has.
        key: name of the first of them.
        first: its first element, an index for each axis.
    """

    number: int
    total: int
    key: str
    first: tuple[int, ...]


def missing_chunks(array: Any, selection: tuple[int | slice, ...]) -> MissingChunks | None:
    """Return which chunk files of a selection are not there, or None; lists folders and opens no file.

    ``array`` and ``selection`` are those of :func:`missing_chunk`. The time goes with the files that are there, however
    many the array promises.
    """
    spans = _spans(array, selection)
    total = math.prod(len(span) for span in spans)
    key_of = array.metadata.encode_chunk_key
    there = set(_present(array, spans))
    if len(there) >= total:
        return None
    first = next(place for place in _places(spans) if place not in there)
    start = tuple(
        max(one * size, chosen.start or 0) if isinstance(chosen, slice) else chosen
        for one, size, chosen in zip(first, _outer(array), selection, strict=True)
    )
    return MissingChunks(total - len(there), total, str(key_of(first)), start)


def _outer(array: Any) -> tuple[int, ...]:
    """Return the shape of what one file holds."""
    return tuple(getattr(array, "shards", None) or array.chunks)


def _folder(array: Any) -> Path:
    return Path(str(array.store_path.store.root)) / array.store_path.path


def _spans(array: Any, selection: tuple[int | slice, ...]) -> list[range]:
    """Return the numbers of the chunks along each axis that a selection touches."""
    spans = []
    if 0 in _outer(array):
        raise InputError(f"{_folder(array)}: chunks of no pixels; the array's description is damaged")
    for one, size, length in zip(selection, _outer(array), array.shape, strict=True):
        first, stop, _ = one.indices(length) if isinstance(one, slice) else (one, one + 1, 1)
        spans.append(range(first // size, -(-stop // size)))
    return spans


def _places(spans: list[range]) -> Iterator[tuple[int, ...]]:
    """Yield all places in order; unlike itertools.product, without a copy of spans of any length."""
    if not spans:
        yield ()
        return
    for one in spans[0]:
        for rest in _places(spans[1:]):
            yield (one, *rest)


def _present(array: Any, spans: list[range]) -> Iterator[tuple[int, ...]]:
    """Yield the places of the chunks that are there, from as few looks at the disk as their names allow."""
    example = array.metadata.encode_chunk_key((0,) * len(spans))
    separator = "/" if "0/0" in example else "."
    prefix = example[: len(example) - len(separator.join("0" * len(spans)))]
    folder = _folder(array) / prefix if prefix.endswith("/") else _folder(array)
    if not folder.is_dir():
        return
    if separator == "/":
        yield from _nested(str(folder), spans)
        return
    start = 0 if prefix.endswith("/") else len(prefix)
    for name in os.listdir(folder):
        place = tuple(_number(part) for part in name[start:].split("."))
        if len(place) == len(spans) and all(one in span for one, span in zip(place, spans, strict=True)):
            yield place


def _nested(folder: str, spans: list[range]) -> Iterator[tuple[int, ...]]:
    """Yield the places of chunks that lie in folders of folders; a folder of few is asked for each, not listed."""
    if math.prod(len(span) for span in spans) <= _FEW:
        yield from (place for place in _places(spans) if os.path.isfile(os.path.join(folder, *map(str, place))))
        return
    for name in os.listdir(folder):
        one = _number(name)
        inside = os.path.join(folder, name)
        if one not in spans[0]:
            continue
        if len(spans) == 1:
            yield (one,)
        elif math.prod(len(span) for span in spans[1:]) <= _FEW or os.path.isdir(inside):
            yield from ((one, *rest) for rest in _nested(inside, spans[1:]))


def _number(name: str) -> int:
    """Return the number that a name is, written as Zarr does; -1 for another name."""
    return int(name) if name.isdecimal() and len(name) < 19 and str(int(name)) == name else -1


def _codec_names(metadata: Any) -> list[str]:
    """Return the names of all codecs in the description of an array, those inside shards included."""
    names: list[str] = []
    waiting = [metadata.get(key) for key in ("codecs", "compressor", "filters") if key in metadata]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            name = item.get("name", item.get("id"))
            names += [str(name)] if name is not None else []
            configuration = item.get("configuration")
            inside = configuration if isinstance(configuration, dict) else {}
            waiting += [inside.get(key) for key in ("codecs", "index_codecs")]
        elif isinstance(item, (list, tuple)):
            waiting += list(item)
        elif item is not None:
            names.append(str(getattr(item, "codec_id", type(item).__name__)))
    return names


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 10 else 0
