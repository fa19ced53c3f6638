"""Which parts of a frame a network is given, one after the other, and which part of each answer counts."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A part of a frame, all in pixels, first and last (exclusive).

    ``rows`` and ``columns`` are what the network sees; inside ``kept_rows`` and ``kept_columns`` its answer is that for
    the whole frame.
    """

    rows: Span
    columns: Span
    kept_rows: Span
    kept_columns: Span


def windows(shape: tuple[int, int], tile: tuple[int, int], halo_px: int) -> list[Window]:
    """Return windows whose kept parts tile the frame, each with its halo as far as the frame reaches.

    Args:
        shape: (H, W) of the frame, pixels.
        tile: rows and columns of the kept parts, pixels; 0 for all.
        halo_px: pixels around the kept part that the network must see.
    """
    return _product(*(_spans(length, step or length, halo_px) for length, step in zip(shape, tile, strict=True)))


def windows_of_size(shape: tuple[int, int], size: tuple[int, int], halo_px: int) -> list[Window]:
    """Return windows that all have one size, none reaching beyond the frame, whose kept parts tile the frame.

    At the frame's own border a window keeps everything: there its padding is the padding of the whole frame.

    Args:
        shape: (H, W) of the frame, pixels.
        size: rows and columns of every window, pixels.
        halo_px: pixels next to a window's inner borders that do not count.

    Raises ValueError if a frame is smaller than a window, or larger and the halo leaves nothing of a window.
    """
    for length, own in zip(shape, size, strict=True):
        if length < own or (length > own and own <= 2 * halo_px):
            raise ValueError(f"size: windows of {own} pixels with a halo of {halo_px} cannot cover {length} pixels")
    return _product(*(_spans_of_size(length, own, halo_px) for length, own in zip(shape, size, strict=True)))


def _spans(length: int, step: int, halo: int) -> list[tuple[Span, Span]]:
    kept = [(first, min(first + step, length)) for first in range(0, length, step)]
    return [((max(first - halo, 0), min(last + halo, length)), (first, last)) for first, last in kept]


def _spans_of_size(length: int, size: int, halo: int) -> list[tuple[Span, Span]]:
    spans: list[tuple[Span, Span]] = []
    done = 0
    while done < length:
        first = min(max(done - halo, 0), length - size)
        last = length if first + size == length else first + size - halo
        spans.append(((first, first + size), (done, last)))
        done = last
    return spans


def _product(rows: list[tuple[Span, Span]], columns: list[tuple[Span, Span]]) -> list[Window]:
    return [
        Window(seen_rows, seen_columns, kept_rows, kept_columns)
        for seen_rows, kept_rows in rows
        for seen_columns, kept_columns in columns
    ]
