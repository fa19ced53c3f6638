"""Prepared recordings: the darkest value each pixel ever had is taken off, so that what never blinks is gone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.localization.frames.source import FrameSource, open_frames

FEWEST_FRAMES = 10
# A frame this much darker than the rest, and by this many of their own deviations, was not lit like them.
DARK_SHARE = 0.25
DARK_DEVIATIONS = 8.0
_LARGEST_INTEGER = 65535
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


@dataclass(frozen=True, eq=False)
class MinimumProjection:
    """What one pass over a recording tells; F is the number of its frames.

    Attributes:
        image: float32 ``[H, W]``, the smallest counts of each pixel.
        largest: float32 ``[H, W]``, the largest counts of each pixel.
        means: float64 ``[F]``, mean counts of each frame.
        whole_numbers: whether all counts are whole numbers.
    """

    image: np.ndarray
    largest: np.ndarray
    means: np.ndarray
    whole_numbers: bool

    def dark_frames(self) -> np.ndarray:
        """Return the indices (int ``[K]``, from 0) of frames far darker than the rest, such as unlit ones."""
        middle = np.median(self.means)
        spread = 1.4826 * np.median(np.abs(self.means - middle))
        return np.flatnonzero(self.means < middle - np.maximum(DARK_DEVIATIONS * spread, DARK_SHARE * abs(middle)))


def minimum_projection(
    source: FrameSource,
    skip: Collection[int] = (),
    on_frame: Callable[[int], None] = lambda done: None,
    *,
    fewest: int = FEWEST_FRAMES,
) -> MinimumProjection:
    """Return the minimum projection of a recording, read once, one frame at a time.

    ``skip`` holds indices (from 0) of frames that do not count; ``on_frame`` is called with the number of frames read.

    Raises InputError if fewer than ``fewest`` frames count, all are the same, or one cannot be read.
    """
    counted = len(source) - len(set(skip) & set(range(len(source))))
    if counted < fewest:
        raise InputError(
            f"{source.where}: {counted} frames; the darkest value of a pixel needs at least {fewest}, better "
            "hundreds: give the whole recording, or the minimum of a longer one with --minimum"
        )
    smallest = np.full(source.shape, np.inf, np.float32)
    largest = np.full(source.shape, -np.inf, np.float32)
    means, whole = np.zeros(len(source)), True
    for index, frame in enumerate(source):
        means[index] = frame.mean(dtype=np.float64)
        whole = whole and bool(np.all(frame == np.rint(frame)))
        np.maximum(largest, frame, out=largest)
        if index not in skip:
            np.minimum(smallest, frame, out=smallest)
        on_frame(index + 1)
    if fewest > 1 and np.array_equal(smallest, largest):
        raise InputError(f"{source.where}: all frames are the same; there is no blinking to keep")
    return MinimumProjection(smallest, largest, means, whole)


def read_minimum(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a minimum projection made earlier.

    Args:
        path: image of one plane.
        shape: (H, W) of the recording, pixels.

    Returns:
        float32 ``[H, W]``, counts.

    Raises InputError if it cannot be read, holds several planes, or has another size than the recording.
    """
    source = open_frames(path)
    if len(source) != 1:
        raise InputError(
            f"{argument('minimum')} {path}: {len(source)} planes; expected one, as minimum.tif of this command"
        )
    if source.shape != shape:
        expected, got = ("×".join(map(str, size)) for size in (shape, source.shape))
        raise InputError(f"{argument('minimum')} {path}: {got} pixels, but the recording has {expected}")
    return source.read(0)


def write_prepared(
    path: Path,
    source: FrameSource,
    minimum: np.ndarray,
    pixel_type: np.dtype,
    on_frame: Callable[[int], None] = lambda done: None,
) -> None:
    """Write the recording less a minimum, clipped at 0, as a TIFF, one frame at a time (BigTIFF where it must be).

    Args:
        path: file to write.
        source: the recording.
        minimum: float32 ``[H, W]``, counts.
        pixel_type: uint16 or float32.
        on_frame: called with the number of frames written.

    Raises InputError if a frame cannot be read.
    """
    import tifffile

    height, width = source.shape
    size = len(source) * height * width * pixel_type.itemsize
    with tifffile.TiffWriter(path, bigtiff=size > _CLASSIC_TIFF_BYTES) as tiff:
        for index, frame in enumerate(source):
            prepared = np.maximum(frame - minimum, 0)
            if pixel_type.kind == "u":
                prepared = np.rint(prepared)
            tiff.write(prepared.astype(pixel_type), contiguous=True, photometric="minisblack")
            on_frame(index + 1)


def prepared_type(projection: MinimumProjection, minimum: np.ndarray) -> np.dtype:
    """Return the pixel type that holds the recording less a minimum: uint16 if nothing is lost, else float32.

    Args:
        projection: of the recording.
        minimum: float32 ``[H, W]``, what is taken off, counts.
    """
    whole = projection.whole_numbers and bool(np.all(minimum == np.rint(minimum)))
    fits = float(np.max(projection.largest - minimum)) <= _LARGEST_INTEGER
    return np.dtype(np.uint16 if whole and fits else np.float32)
