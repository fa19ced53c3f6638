"""A worker's part of every batch, for training on several machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """The ``index``-th (from 0) of ``count`` contiguous, equal parts of every batch.

    Raises ValueError unless 0 ≤ index < count.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"index: expected 0 … {self.count - 1}, got {self.index}")

    def bounds(self, frames: Any) -> tuple[Any, Any]:
        """Return first and end of the part within a batch of ``frames`` frames (a number, or an integer tensor)."""
        return frames * self.index // self.count, frames * (self.index + 1) // self.count

    def holds(self, position: Any, batch_size: int, limit: int) -> Any:
        """Return whether frames belong to the part.

        Args:
            position: int64 tensor ``[F]``, no unit: places of the frames in a stream, from 0.
            batch_size: frames a batch.
            limit: frames of the stream; the last batch may be smaller.

        Returns:
            bool tensor ``[F]``.
        """
        import tensorflow as tf

        begin, end = self.bounds(tf.minimum(limit - position // batch_size * batch_size, batch_size))
        inside = position % batch_size
        return (inside >= begin) & (inside < end)

    def of_batch_size(self, batch_size: int) -> int:
        """Return the frames of the part of a whole batch.

        Raises ValueError if the batch has no such equal parts.
        """
        if batch_size % self.count:
            raise ValueError(f"batch_size: expected a multiple of {self.count}, got {batch_size}")
        return batch_size // self.count


WHOLE = Share()
