"""Localizations: the emitters found in the frames of a recording, in one object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ds3d_tf.localization.tables.tables import COLUMNS, from_table, read_table, to_table
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Localizations:
    """Emitters found in frames, one row each, in the order of their frames.

    Attributes:
        frame: int64 ``[N]``, number of each emitter's frame, from 1 (no unit).
        xyz_um: float64 or float32 ``[N, 3]`` (x, y, z), µm; x = y = 0 is the centre of pixel (H // 2, W // 2), z above
            the coverslip.
        confidence: float64 or float32 ``[N]``, the network's confidence, no unit.
        frame_shape: ``(H, W)``, pixels.
        setup: the ``Setup`` of pixel size and depth range.
    """

    frame: np.ndarray
    xyz_um: np.ndarray
    confidence: np.ndarray
    frame_shape: tuple[int, int]
    setup: Setup

    def __post_init__(self) -> None:
        count = len(self.frame)
        if np.shape(self.xyz_um) != (count, 3) or np.shape(self.confidence) != (count,):
            raise ValueError(
                "frame, xyz_um, confidence: expected [N], [N, 3] and [N], got "
                f"{np.shape(self.frame)}, {np.shape(self.xyz_um)} and {np.shape(self.confidence)}"
            )

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[np.ndarray],
        frame_shape: tuple[int, int],
        setup: Setup,
        indices: Sequence[int] | None = None,
    ) -> Localizations:
        """Return the localizations of frames as :meth:`Localizer.rows` gives them.

        Args:
            rows: for each frame float ``[K, 4]`` (x, y, z, confidence), µm and confidence, or ``[K, 10]`` of a pixel
                network, which gives ``MeasuredLocalizations``.
            frame_shape: ``(H, W)``, pixels.
            setup: the ``Setup`` of pixel size and depth range.
            indices: index of each frame in its recording, from 0; None: they follow one another from the first.
        """
        numbers = np.arange(1, len(rows) + 1) if indices is None else np.asarray(indices, np.int64) + 1
        stacked = np.concatenate(rows) if len(rows) else np.zeros((0, 4), np.float32)
        frame = np.repeat(numbers.astype(np.int64), [len(one) for one in rows])
        common = (frame, stacked[:, :3], stacked[:, 3], frame_shape, setup)
        if stacked.shape[1] == len(COLUMNS) - 1 and not (setup.learning.network == "pixel" and not len(rows)):
            return cls(*common)
        from ds3d_tf.localization.measured import MeasuredLocalizations

        details = stacked[:, 4:] if len(rows) else np.zeros((0, 6), np.float32)
        return MeasuredLocalizations(*common, details[:, 0], details[:, 1], details[:, 2:5], details[:, 5])

    @classmethod
    def joined(cls, parts: Sequence[Localizations]) -> Localizations:
        """Return the localizations of several parts of one recording, at least one, in their order."""
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in ("frame", "xyz_um", "confidence")
        }
        return cls(frame_shape=parts[0].frame_shape, setup=parts[0].setup, **columns)

    @classmethod
    def from_dataframe(cls, table: pd.DataFrame, frame_shape: tuple[int, int], setup: Setup) -> Localizations:
        """Return the localizations of a table in nm; see :meth:`to_dataframe`.

        Args:
            table: the five columns.
            frame_shape: ``(H, W)``, pixels.
            setup: the ``Setup`` of pixel size and depth range.
        """
        return cls(*from_table(table, frame_shape, setup), frame_shape, setup)

    @classmethod
    def read(cls, path: str | Path, frame_shape: tuple[int, int], setup: Setup) -> Localizations:
        """Return the localizations of a CSV table; raises InputError if it cannot be read.

        ``frame_shape`` is (H, W) in pixels, ``setup`` the ``Setup`` of pixel size and depth range.
        """
        return cls.from_dataframe(read_table(path), frame_shape, setup)

    def __len__(self) -> int:
        return len(self.frame)

    def __iter__(self) -> Iterator[tuple[float, float, float, float]]:
        """Yield (x, y, z, confidence) of each emitter: µm and confidence."""
        for (x_um, y_um, z_um), confidence in zip(self.xyz_um.tolist(), self.confidence.tolist(), strict=True):
            yield x_um, y_um, z_um, confidence

    def __repr__(self) -> str:
        frames = f", frames {self.frame.min()} to {self.frame.max()}" if len(self) else ""
        return f"<Localizations: {len(self)} emitters{frames}>"

    def of_frame(self, number: int) -> Localizations:
        """Return the localizations of one frame; ``number`` counts from 1."""
        return self.where(self.frame == number)

    def where(self, chosen: np.ndarray) -> Localizations:
        """Return some of the localizations.

        Args:
            chosen: bool ``[N]``, or int indices of any shape ``[K]`` (no unit).
        """
        return replace(self, frame=self.frame[chosen], xyz_um=self.xyz_um[chosen], confidence=self.confidence[chosen])

    def renumbered(self, indices: Sequence[int]) -> Self:
        """Return the localizations with other frames: frame 1 becomes the frame of index ``indices[0]``, and so on."""
        numbers = np.asarray(indices, np.int64) + 1
        return replace(self, frame=numbers[self.frame - 1])

    def to_dataframe(self) -> pd.DataFrame:
        """Return a table with ThunderSTORM's columns, in nm from the frame's upper left corner, z from ``z_min_um``."""
        return to_table(self.frame, self.xyz_um, self.confidence, self.frame_shape, self.setup)

    def save(self, path: str | Path, frame_count: int | None = None) -> None:
        """Write a table, whole or not at all: .csv, .parquet, or .hdf5 (Picasso).

        ``frame_count`` is the number of frames of the recording; None: up to the last emitter's.
        Raises InputError for another ending, or if the file cannot be written.
        """
        from ds3d_tf.localization.tables.formats import save_table

        frames = int(self.frame.max(initial=0)) if frame_count is None else frame_count
        save_table(self.to_dataframe(), Path(path), self.frame_shape, self.setup, frames)

    def plot(self, path: str | Path, image: Any = None) -> None:
        """Draw the localizations of all frames over an image, coloured by depth, as PNG.

        Args:
            path: file to write.
            image: float ``[H, W]``, counts, to draw them on; None: an empty one.
        """
        from ds3d_tf.localization.plots import plot_overlay

        frame = np.zeros(self.frame_shape) if image is None else np.asarray(image)
        plot_overlay(Path(path), frame, self.xyz_um, self.setup, f"{len(self)} localizations")
