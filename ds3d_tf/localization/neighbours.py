"""Batches of a recording with the frames before and after them, for networks that see several frames at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def with_neighbours(
    batches: Iterator[tuple[np.ndarray, Any]],
    before: np.ndarray | None = None,
    after: Callable[[], np.ndarray | None] = lambda: None,
) -> Iterator[tuple[np.ndarray, tuple[int, int], Any]]:
    """Yield batches of frames that follow one another, each with the frame before and the one after.

    Args:
        batches: frames float32 ``[B, H, W]``, raw counts, and anything that belongs to them; B may be 0.
        before: float32 ``[H, W]``, raw counts, the frame before the first; None: there is none.
        after: gives the frame after the last, in the same form; called when all batches were read.

    Yields:
        frames float32 ``[B + 0 … 2, H, W]``, how many of them (0 or 1) at either end are neighbours only, and what
        belongs to the batch.
    """
    last, waiting = before, None

    def joined(first: np.ndarray | None, frames: np.ndarray, end: np.ndarray | None) -> tuple[Any, tuple[int, int]]:
        parts = [*([] if first is None else [first[None]]), frames, *([] if end is None else [end[None]])]
        return np.concatenate(parts), (int(first is not None), int(end is not None))

    held: list[Any] = []
    for frames, belongings in batches:
        if not len(frames):
            held.append((frames, belongings))
            continue
        if waiting is not None:
            yield (*joined(last, waiting[0], frames[0]), waiting[1])
            last = waiting[0][-1]
        for empty, own in held:
            yield empty, (0, 0), own
        waiting, held = (frames, belongings), []
    if waiting is not None:
        yield (*joined(last, waiting[0], after()), waiting[1])
    for empty, own in held:
        yield empty, (0, 0), own
