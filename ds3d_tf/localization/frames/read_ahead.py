"""Frames read a few batches ahead, while the network works on earlier batches."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.source import FrameSource


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Frames that follow one another in a recording.

    Attributes:
        first: index of the first frame in the recording, from 0.
        count: frames of the recording that the batch covers, damaged ones included.
        indices: index of each frame in ``frames``.
        frames: float32 ``[len(indices), H, W]``, raw counts.
        damaged: what is wrong with each skipped frame, by index.
    """

    first: int
    count: int
    indices: list[int]
    frames: np.ndarray
    damaged: dict[int, str] = field(default_factory=dict)


def read_ahead(
    source: FrameSource,
    batch_size: int,
    *,
    start: int = 0,
    stop: int | None = None,
    skip_damaged: bool = False,
    batches_ahead: int = 2,
) -> Iterator[FrameBatch]:
    """Yield the frames from ``start`` to ``stop`` (exclusive; None: the last) in batches.

    A thread reads them and keeps ``batches_ahead`` ready.

    Raises:
        InputError: a frame is damaged and ``skip_damaged`` is false; the frames before it are yielded first.
    """
    ready: queue.Queue[FrameBatch | BaseException | None] = queue.Queue(max(batches_ahead, 1))
    end = len(source) if stop is None else min(stop, len(source))
    ended = threading.Event()

    def hand_over(item: FrameBatch | BaseException | None) -> None:
        while not ended.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for first in range(start, end, batch_size):
                if ended.is_set():
                    return
                batch, error = _read_batch(source, first, min(batch_size, end - first), skip_damaged)
                if batch.count:
                    hand_over(batch)
                if error is not None:
                    hand_over(error)
                    return
            hand_over(None)
        except BaseException as error:  # the thread's error is raised in the thread that uses the frames
            hand_over(error)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ended.set()
        thread.join()


def _read_batch(
    source: FrameSource, first: int, count: int, skip_damaged: bool
) -> tuple[FrameBatch, InputError | None]:
    """Return the batch, up to the first damaged frame if these are not to be skipped, and its error."""
    indices: list[int] = []
    frames: list[np.ndarray] = []
    damaged: dict[int, str] = {}
    stopped: InputError | None = None
    for index in range(first, first + count):
        try:
            frames.append(source.read(index))
            indices.append(index)
        except InputError as error:
            if not skip_damaged:
                stopped, count = error, index - first
                break
            damaged[index] = str(error)
    stack = np.stack(frames) if frames else np.zeros((0, 0, 0), np.float32)
    return FrameBatch(first, count, indices, stack, damaged), stopped
