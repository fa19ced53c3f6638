"""Which tiles of a frame a network processes, one after the other, and which part of each result counts."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """A tile of a frame, all in pixels, first and last (exclusive).

    ``rows`` and ``columns`` are what the network sees. The result inside ``kept_rows`` and ``kept_columns`` is that of
    the whole frame; the rest overlaps with the neighbouring tiles and is dropped.
    """

    rows: Span
    columns: Span
    kept_rows: Span
    kept_columns: Span


def plan_tiles(shape: tuple[int, int], tile: tuple[int, int], overlap_px: int) -> list[Tile]:
    """Return tiles whose kept parts cover the frame; at the frame's border a tile has no overlap.

    Args:
        shape: (H, W) of the frame, pixels.
        tile: rows and columns of the kept parts, pixels; 0 for all.
        overlap_px: pixels around the kept part that the network must see.
    """
    return _product(*(_spans(length, step or length, overlap_px) for length, step in zip(shape, tile, strict=True)))


def plan_tiles_of_size(shape: tuple[int, int], size: tuple[int, int], overlap_px: int) -> list[Tile]:
    """Return tiles of one size, all inside the frame, whose kept parts cover the frame.

    At the frame's border a tile keeps everything, because there its padding is that of the whole frame.

    Args:
        shape: (H, W) of the frame, pixels.
        size: rows and columns of every tile, overlap included, pixels.
        overlap_px: pixels next to a tile's inner borders that do not count.

    Raises ValueError if a frame is smaller than a tile, or larger and the overlap leaves nothing of a tile.
    """
    for length, side in zip(shape, size, strict=True):
        if length < side or (length > side and side <= 2 * overlap_px):
            raise ValueError(
                f"size: tiles of {side} pixels with an overlap of {overlap_px} cannot cover {length} pixels"
            )
    return _product(*(_spans_of_size(length, side, overlap_px) for length, side in zip(shape, size, strict=True)))


def _spans(length: int, step: int, overlap: int) -> list[tuple[Span, Span]]:
    kept = [(first, min(first + step, length)) for first in range(0, length, step)]
    return [((max(first - overlap, 0), min(last + overlap, length)), (first, last)) for first, last in kept]


def _spans_of_size(length: int, size: int, overlap: int) -> list[tuple[Span, Span]]:
    spans: list[tuple[Span, Span]] = []
    done = 0
    while done < length:
        first = min(max(done - overlap, 0), length - size)
        last = length if first + size == length else first + size - overlap
        spans.append(((first, first + size), (done, last)))
        done = last
    return spans


def _product(rows: list[tuple[Span, Span]], columns: list[tuple[Span, Span]]) -> list[Tile]:
    return [
        Tile(seen_rows, seen_columns, kept_rows, kept_columns)
        for seen_rows, kept_rows in rows
        for seen_columns, kept_columns in columns
    ]
