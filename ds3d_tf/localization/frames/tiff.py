"""Frames in a TIFF file, read plane by plane."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.arrays import check_tiff_page
from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.choice import Choice
from ds3d_tf.localization.frames.size_checks import check_ome

# tifffile reports damage to its log as well as by exceptions; without a handler the log goes to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class UnreadableKind(InputError):
    """A sound file of a kind that is not read, or that needs a package; never counted as a damaged frame."""


class TiffFrames:
    """The planes of one TIFF file: its pages, or the planes that the header of ImageJ, OME, MetaMorph, … describes.

    ImageJ stacks over 4 GB (and stacks written by tifffile with ``truncate``) have one page, and the other planes
    follow its data. OME-TIFF may order its planes differently from its pages, and continue in further files. The file
    is opened when first read and stays open until :meth:`close`.
    """

    def __init__(
        self, path: Path, alone: bool = True, keep_damaged: bool = False, choice: Choice | None = None
    ) -> None:
        """Open the file and count its planes.

        Args:
            path: the file.
            alone: follow an OME header into further files; false if those files are listed anyway.
            keep_damaged: count the missing end of a truncated file as one more plane, which is damaged.
            choice: the position and the channel that are meant.

        Raises InputError if it is not a TIFF, empty, damaged, or has several channels or positions and none is chosen.
        """
        self._path = path
        self._alone = alone
        self._keep_damaged = keep_damaged
        self._choice = choice or Choice()
        self._lost: str | None = None
        self._tiff: Any = None
        self._planes: Any = None
        self._stack: np.ndarray | None = None
        self.remarks: tuple[str, ...] = ()
        self._count = self._guarded(self._open_file, "")
        if not alone:
            self.close()

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """Return the file's path, with the page where there are several."""
        return str(self._path) if self._count == 1 else f"{self._path} page {index + 1}"

    def read(self, index: int) -> np.ndarray:
        """Return a plane ``[H, W]`` (row, column; colour images have a third axis) as stored, counts.

        Raises InputError if it is truncated or damaged.
        """
        return np.asarray(self._guarded(lambda: self._read(index), f" page {index + 1}"))

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._tiff is not None:
            self._tiff.close()
        self._tiff = self._planes = self._stack = None

    def __del__(self) -> None:
        if getattr(self, "_tiff", None) is not None:
            self.close()

    def _read(self, index: int) -> np.ndarray:
        if self._tiff is None:
            self._open_file()
        if self._lost is not None and index == self._count - 1:
            raise InputError(self._lost)
        if self._stack is not None:
            return np.array(self._stack[index])
        page = self._planes[index]
        if page is None:
            raise InputError(f"{self.name(index)}: this plane is missing from the file")
        return pixels_of(page, self.name(index))

    def _open_file(self) -> int:
        import tifffile

        from ds3d_tf.localization.frames.tiff_planes import check_codec, find_planes

        if self._path.stat().st_size == 0:
            raise InputError(f"{self._path}: the file is empty")
        self._tiff = tifffile.TiffFile(self._path, _multifile=self._alone)
        if self._tiff.is_ome and self._alone:
            check_ome(self._tiff, self._path)
        check_codec(self._tiff, str(self._path))
        found = find_planes(self._tiff, str(self._path), self._choice, self._keep_damaged)
        self._planes, self._stack, self._lost = found.pages, found.stack, found.lost
        self.remarks = found.remarks
        count = len(self._planes) if self._stack is None else len(self._stack)
        return count + (self._lost is not None)

    def _guarded(self, action: Any, place: str) -> Any:
        try:
            return action()
        except InputError:
            raise
        except PermissionError as error:
            raise InputError(f"{self._path}: no permission to read it") from error
        except Exception as error:  # tifffile and its codecs raise many kinds of errors for a damaged file
            reason = (str(error) or type(error).__name__).splitlines()[0]
            if not place and not _has_tiff_mark(self._path):
                raise InputError(f"{self._path}: not a TIFF file") from error
            raise InputError(f"{self._path}{place}: truncated or damaged ({reason})") from error


def pixels_of(page: Any, name: str) -> np.ndarray:
    """Return the pixels ``[H, W]`` (row, column; as stored, counts) of one of tifffile's pages.

    Raises InputError if the file ends before they do.
    """
    handle = page.parent.filehandle
    closed = handle.closed
    if closed:
        # One of the further files of an OME recording: tifffile closes them after reading their headers.
        handle.open()
    try:
        size = handle.size
        end = data_end(page)
        if end > size:
            raise InputError(f"{name}: truncated; the file has {size} bytes and should have {end}")
        check_tiff_page(page, name)
        return page.asarray()
    finally:
        if closed:
            handle.close()


def data_end(page: Any) -> int:
    """Return the byte after the last one of a page's pixels."""
    return max((o + c for o, c in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)


def _has_tiff_mark(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
