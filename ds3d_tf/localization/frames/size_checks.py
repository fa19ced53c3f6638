"""Recordings checked before they are decoded: sizes, missing chunks and planes, files and codecs that others name."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any
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
    outer = getattr(array, "shards", None) or array.chunks
    spans = []
    for one, size, length in zip(selection, outer, array.shape, strict=True):
        first, stop, _ = one.indices(length) if isinstance(one, slice) else (one, one + 1, 1)
        spans.append(range(first // size, -(-stop // size)))
    root = Path(str(array.store_path.store.root)) / array.store_path.path
    for place in np.ndindex(*(len(span) for span in spans)):
        key = array.metadata.encode_chunk_key(tuple(span[i] for span, i in zip(spans, place, strict=True)))
        if not (root / key).is_file():
            return str(key)
    return None


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
