"""Arrays from files: what a header promises is compared with the file and with memory before anything is read."""

from __future__ import annotations

import io
import lzma
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from ds3d_tf.common.errors import InputError

MAX_PIXELS = 10**8
"""Pixels of a frame or a mask: no camera has more."""
MAX_BYTES = 2**30
"""Bytes of an array that is read into memory as a whole."""
# What files raise when they are opened and unpacked. What a damaged header raises, npy_header turns into one of these.
_DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, zlib.error, lzma.LZMAError)


def read_npy(path: str | Path, where: str | None = None, mend: str = "write it again with numpy.save") -> np.ndarray:
    """Return the array of a ``.npy`` file: any shape, unit and plain dtype.

    Args:
        path: the file.
        where: its name in the error; None: the path.
        mend: what to do about a damaged file.

    Raises InputError if it is missing, damaged, holds objects, or promises more than the file or memory holds.
    """
    path, where = Path(path), where or str(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as stream:
            shape, dtype = npy_header(stream, size, where)
            array: np.ndarray = np.load(path, allow_pickle=False)
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(f"{where}: missing or damaged ({first_line(error)}); {mend}") from error
    if array.shape != shape or array.dtype != dtype:
        raise InputError(f"{where}: damaged; {mend}")
    return array


def read_npz(path: str | Path, mend: str, limit: int = 4 * MAX_BYTES) -> dict[str, np.ndarray]:
    """Return the arrays of a ``.npz`` file.

    Args:
        path: the file.
        mend: what to do about a damaged file.
        limit: bytes that they may take together.

    Returns:
        name → array of any shape, axis order, unit and plain dtype.

    Raises InputError as :func:`read_npy` does.
    """
    try:
        check_npz(path, limit)
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except InputError:
        raise
    except (*_DAMAGED, MemoryError) as error:
        raise InputError(f"{path}: missing or damaged ({first_line(error)}); {mend}") from error


def check_npz(path: str | Path, limit: int = MAX_BYTES, hint: str = "") -> None:
    """Refuse a ``.npz`` file whose arrays promise more than its members hold, or take more than ``limit`` bytes.

    ``hint`` says what to do about a file that is too large. Raises InputError, or what zipfile raises for another file.
    """
    with zipfile.ZipFile(path) as archive:
        if any(member.flag_bits & 1 for member in archive.infolist()):
            raise InputError(f"{path}: encrypted, or damaged; write it again with numpy.savez")
        total = sum(member.file_size for member in archive.infolist())
        if total > limit:
            raise InputError(
                f"{path}: its arrays take {total / 1e9:.3g} GB when unpacked, more than the {limit / 1e9:.2g} GB that "
                f"are read into memory{hint}"
            )
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as stream:
                    npy_header(stream, member.file_size, f"{path}: {member.filename}", limit)


def npy_header(
    stream: IO[bytes], size: int, where: str, limit: int | None = MAX_BYTES
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype that the header of NumPy's format promises, if ``size`` bytes of file can hold them.

    Raises InputError for objects (which would be unpickled), too large arrays, and files that end early; ValueError for
    other formats.
    """
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(stream)
    except Exception as error:  # NumPy reads Python's syntax there, whose parsers raise many kinds of errors
        raise ValueError(f"its header is damaged: {first_line(error)}") from error
    if dtype.hasobject:
        raise InputError(f"{where}: holds Python objects, which are never read; save numbers")
    promised = math.prod(shape) * dtype.itemsize
    if promised > size:
        raise InputError(f"{where}: truncated or damaged; its header promises {promised} bytes of {size} in the file")
    if limit is not None and promised > limit:
        raise InputError(f"{where}: {promised / 1e9:.3g} GB, more than the {limit / 1e9:.2g} GB that are read at once")
    return shape, dtype


def check_plane(shape: tuple[int, ...], itemsize: int, where: str) -> None:
    """Raise InputError if a plane (rows, columns, perhaps samples) is larger than any camera's."""
    pixels = math.prod(int(size) for size in shape)
    if pixels > MAX_PIXELS or pixels * itemsize > MAX_BYTES:
        raise InputError(
            f"{where}: {'×'.join(map(str, shape))} pixels, more than any camera has "
            f"({MAX_PIXELS // 10**6} million); damaged, or not a recording"
        )


def check_tiff_page(page: Any, where: str) -> None:
    """Refuse a page of tifffile's that promises more than its file holds, before it is decoded.

    Raises InputError for planes larger than any camera's, and for tiles or strips that are not in the file.
    """
    check_plane(page.shape, page.dtype.itemsize if page.dtype is not None else 1, where)
    stored = [count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True) if offset and count]
    if len(stored) < len(page.dataoffsets) or not stored:
        missing = len(page.dataoffsets) - len(stored)
        raise InputError(f"{where}: {missing} of its {len(page.dataoffsets)} pieces are missing from the file")
    end = max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
    if end > page.parent.filehandle.size:
        raise InputError(f"{where}: truncated; the file has {page.parent.filehandle.size} bytes and should have {end}")
    first = getattr(page, "keyframe", page)  # a further page may share the tags of the first
    needed = math.prod(first.shape) * first.bitspersample // 8
    if first.compression == 1 and sum(stored) < needed:
        raise InputError(f"{where}: damaged; {sum(stored)} bytes of pixels where {needed} are promised")


def read_tiff_plane(path: str | Path, where: str) -> np.ndarray:
    """Return the only plane of a TIFF file, ``[H, W]`` (row, column) as stored: of any unit and dtype.

    Raises InputError if it is larger than any camera's, has several planes, or is damaged.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.pages) != 1:
                raise InputError(f"{where}: holds {len(tiff.pages)} pages; expected one")
            check_tiff_page(tiff.pages[0], where)
            array: np.ndarray = tiff.asarray()
    except InputError:
        raise
    except Exception as error:  # tifffile and its codecs raise many kinds of errors for a damaged file
        raise InputError(f"{where}: not a TIFF file, or damaged ({first_line(error)})") from error
    return array


def inflate(packed: bytes, limit: int, where: str) -> bytes:
    """Return zlib's data unpacked; raises InputError if they are damaged or longer than ``limit`` bytes."""
    try:
        stream = zlib.decompressobj()
        content = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise InputError(f"{where}: damaged ({error})") from error
    if len(content) > limit or not stream.eof:
        raise InputError(f"{where}: damaged, or longer than {limit / 1e6:.3g} MB when unpacked")
    return content


def npy_from_bytes(content: bytes, where: str) -> np.ndarray:
    """Return the array of NumPy's format in memory: any shape, unit and plain dtype; raises InputError."""
    try:
        npy_header(io.BytesIO(content), len(content), where)
        return np.load(io.BytesIO(content), allow_pickle=False)
    except _DAMAGED as error:
        raise InputError(f"{where}: not an array ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind if it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]
