"""Tiles of a recording: parts of frames spread over time and the field of view, few enough to keep in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ds3d_tf.localization.frames.source import FrameSource

MOST_FRAMES = 200
MOST_TILES = 400


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a frame.

    Attributes:
        pixels: float32 ``[h, w]``, counts.
        frame: index of its frame, from 0.
        row: its first row in the frame.
        column: its first column in the frame.
    """

    pixels: np.ndarray
    frame: int
    row: int
    column: int


def sample_tiles(
    source: FrameSource,
    tile_shape: tuple[int, int],
    seed: int = 0,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> list[Tile]:
    """Return tiles of at most 200 frames, evenly spread over the recording, at places drawn from a grid.

    ``on_frame`` is called with the numbers of frames read and to be read. Raises InputError if a frame is damaged.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, MOST_FRAMES).round().astype(int))
    shape = (min(tile_shape[0], source.shape[0]), min(tile_shape[1], source.shape[1]))
    starts = [
        np.linspace(0, size - part, -(-size // part)).round().astype(int)
        for size, part in zip(source.shape, shape, strict=True)
    ]
    places = [(int(row), int(column)) for row in starts[0] for column in starts[1]]
    each = min(len(places), max(MOST_TILES // len(chosen), 1))
    rng = np.random.default_rng(seed)
    tiles = []
    for done, index in enumerate(chosen, start=1):
        frame = source.read(int(index))
        for place in sorted(rng.permutation(len(places))[:each]):
            row, column = places[place]
            pixels = frame[row : row + shape[0], column : column + shape[1]]
            tiles.append(Tile(pixels.copy(), int(index), row, column))
        on_frame(done, len(chosen))
    return tiles
