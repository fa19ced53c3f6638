"""Frames in a TIFF file, read page by page."""

from __future__ import annotations

import logging
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.arrays import check_tiff_page
from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.size_checks import check_ome, check_ome_planes

# tifffile reports damage to its log as well as by exceptions; without a handler the log goes to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffFrames:
    """The planes of one TIFF file: its pages, or the planes that an ImageJ, OME or tifffile header describes.

    ImageJ stacks over 4 GB (and stacks written by tifffile with ``truncate``) have one page, and the other planes
    follow its data. OME-TIFF may order its planes differently from its pages, and continue in further files. The file
    is opened when first read and stays open until :meth:`close`.
    """

    def __init__(self, path: Path, alone: bool = True, keep_damaged: bool = False) -> None:
        """Open the file and count its planes.

        Args:
            path: the file.
            alone: follow an OME header into further files; false if those files are listed anyway.
            keep_damaged: count the missing end of a truncated file as one more plane, which is damaged.

        Raises InputError if it is not a TIFF, empty, has several channels, or is truncated (unless ``keep_damaged``).
        """
        self._path = path
        self._alone = alone
        self._keep_damaged = keep_damaged
        self._lost: str | None = None
        self._tiff: Any = None
        self._planes: Any = None
        self._stack: np.memmap | None = None
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
        handle = page.parent.filehandle
        if handle.closed:
            # One of the further files of an OME recording: tifffile closes them after reading their headers.
            handle.open()
            try:
                return self._pixels(page, index)
            finally:
                handle.close()
        return self._pixels(page, index)

    def _pixels(self, page: Any, index: int) -> np.ndarray:
        size = page.parent.filehandle.size
        ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends, default=0) > size:
            raise InputError(f"{self.name(index)}: truncated; the file has {size} bytes and should have {max(ends)}")
        check_tiff_page(page, self.name(index))
        return page.asarray()

    def _open_file(self) -> int:
        import tifffile

        if self._path.stat().st_size == 0:
            raise InputError(f"{self._path}: the file is empty")
        self._tiff = tifffile.TiffFile(self._path, _multifile=self._alone)
        if self._tiff.is_ome and self._alone:
            check_ome(self._tiff, self._path)
        self._planes = self._tiff.pages
        self._check_chain()
        one_page = self._tiff.is_shaped and len(self._planes) == 1
        if (self._tiff.is_ome and self._alone) or self._tiff.is_imagej or one_page:
            self._use_series()
        count = len(self._planes) if self._stack is None else len(self._stack)
        promised = (self._tiff.imagej_metadata or {}).get("images", 1) if self._tiff.is_imagej else 1
        if promised > count:
            self._lose(f"{self._path}: truncated; its header promises {promised} images, {count} are there")
        return count + (self._lost is not None)

    def _lose(self, reason: str) -> None:
        """Refuse the file, or record that its end is missing."""
        if not self._keep_damaged:
            raise InputError(reason)
        self._lost = reason

    def _check_chain(self) -> None:
        """Refuse a file whose last page points to a further one: tifffile stops silently at a page it cannot read."""
        form, handle = self._tiff.tiff, self._tiff.filehandle
        start = self._planes[len(self._planes) - 1].offset
        handle.seek(start)
        (tags,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
        handle.seek(start + form.tagnosize + tags * form.tagsize)
        (following,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
        if following:
            self._lose(
                f"{self._path}: truncated or damaged after page {len(self._planes)}; "
                f"the next one should be at byte {following} of {handle.size}"
            )

    def _use_series(self) -> None:
        if len(self._tiff.series) > 1 and self._tiff.is_ome:
            raise InputError(f"{self._path}: holds {len(self._tiff.series)} image series; save each in its own file")
        series = self._tiff.series[0]
        sizes = dict(zip(series.axes, series.shape, strict=True))
        longer = {axis: size for axis, size in sizes.items() if axis not in "YXS" and size > 1}
        # Some programs call the only axis of a recording C; beside another axis, C really means channels.
        if "C" in longer and len(longer) > 1:
            raise InputError(f"{self._path}: holds {sizes['C']} channels; save the channel to localize in its own file")
        planes = math.prod(longer.values())
        if len(series.pages) == planes and "S" not in sizes:
            self._planes = series.pages if self._tiff.is_ome else self._tiff.pages
            if self._tiff.is_ome:
                check_ome_planes(self._tiff, self._planes, self._path)
        elif len(series.pages) == 1 and series.dataoffset is not None and "S" not in sizes:
            needed = series.dataoffset + series.nbytes
            size = self._tiff.filehandle.size
            if size < needed:
                self._lose(f"{self._path}: truncated; the file has {size} bytes and should have {needed}")
                planes = (size - series.dataoffset) * planes // series.nbytes
            dtype = series.dtype.newbyteorder(self._tiff.byteorder)
            shape = (planes, sizes["Y"], sizes["X"])
            self._stack = np.memmap(self._path, dtype, "r", series.dataoffset, shape)

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


def _has_tiff_mark(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
