"""Tiles and emitters around a pixel network that some other program evaluates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.engines.network import NetworkEngine
from ds3d_tf.localization.peaks.tile_plan import Tile, plan_tiles, plan_tiles_of_size

# Pixels are computed in groups of this side: tiles begin at multiples of it.
_STRIDE = 4


class PixelNetworkEngine(NetworkEngine):
    """A NetworkEngine whose network answers once a camera pixel: maps ``[B, h, w, 10]`` instead of a volume."""

    def localize(
        self, frames: Any, threshold: float | None, radius_voxels: int | None, tile: tuple[int, int]
    ) -> tuple[np.ndarray, ...]:
        """Return the emitters in each frame.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            threshold: smallest probability, exclusive; None: the setup's.
            radius_voxels: not used, a radius in voxels of the other network.
            tile: rows and columns, pixels, that are localized at a time; 0 for all.

        Returns:
            positions float32 ``[B, K, 3]`` (x, y, z), µm; confidence float32 ``[B, K]``; count int32 ``[B]``; details
            float32 ``[B, K, 6]``: photons and background (photoelectrons), σ of x, y, z (µm) and of the photons.

        Raises InputError if the network's only size does not fit the frames.
        """
        import tensorflow as tf

        from ds3d_tf.localization.peaks.pixel_peaks import emitters_of_maps, padded_emitters
        from ds3d_tf.simulation.pixel_grid import PixelGrid

        frames = np.asarray(frames, np.float32)
        shape = (frames.shape[1], frames.shape[2])
        threshold = self.setup.learning.peak_threshold if threshold is None else threshold
        pixels, values = [tf.zeros([0, 3], tf.int64)], [tf.zeros([0, 10], tf.float32)]
        for seen, maps in self._maps(frames, tile):
            edges = (*seen.kept_rows, *seen.kept_columns)
            corners = (seen.rows[0], seen.rows[0], seen.columns[0], seen.columns[0])
            box = tuple(edge - corner for edge, corner in zip(edges, corners, strict=True))
            found, told = emitters_of_maps(tf.convert_to_tensor(maps), threshold, box)  # type: ignore[arg-type]
            pixels.append(found + tf.constant([0, seen.rows[0], seen.columns[0]], tf.int64))
            values.append(told)
        grid = PixelGrid.from_setup(self.setup)
        result = padded_emitters(tf.concat(pixels, 0), tf.concat(values, 0), grid, (len(frames), *shape))
        return tuple(np.asarray(value) for value in result)

    def volume(
        self, frames: Any, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return the network's maps for whole frames, or a part of them.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            rows: first and last (exclusive) row of the part, pixels; None: all.
            columns: first and last (exclusive) column of the part, pixels; None: all.

        Returns:
            float32 ``[B, H, W, 10]`` (H and W of the part), in the units of a ``PixelGrid``.
        """
        frames = np.asarray(frames, np.float32)
        result = np.zeros((*frames.shape, 10), np.float32)
        for tile, maps in self._maps(frames, (0, 0)):
            place, source = (
                tuple(slice(first - corner, last - corner) for (first, last), corner in zip(kept, corners, strict=True))
                for kept, corners in (
                    ((tile.kept_rows, tile.kept_columns), (0, 0)),
                    ((tile.kept_rows, tile.kept_columns), (tile.rows[0], tile.columns[0])),
                )
            )
            result[(slice(None), *place)] = np.asarray(maps)[(slice(None), *source)]
        return result[:, slice(*(rows or (None,))), slice(*(columns or (None,)))]

    def _maps(self, frames: np.ndarray, tile: tuple[int, int]) -> Iterator[tuple[Tile, Any]]:
        """Yield tiles with the maps of what the network sees there; kept parts lie inside the frames."""
        from ds3d_tf.localization.peaks.pixel_peaks import overlap_of_maps_px

        shape = (frames.shape[1], frames.shape[2])
        overlap_px = overlap_of_maps_px(self.receptive_radius_px)
        ranges = np.stack([frames.min((1, 2)), frames.max((1, 2))], axis=1)
        if self.size_px is None:
            steps = (_whole_strides(tile[0]), _whole_strides(tile[1]))
            tiles = plan_tiles(shape, steps, overlap_px)
        else:
            tiles = self._tiles_of_size(shape, self.size_px, overlap_px)
            frames = self._with_border(frames, self.size_px)
        for seen in tiles:
            part = np.ascontiguousarray(frames[:, slice(*seen.rows), slice(*seen.columns)])
            kept_rows = (seen.kept_rows[0], min(seen.kept_rows[1], shape[0]))
            kept_columns = (seen.kept_columns[0], min(seen.kept_columns[1], shape[1]))
            yield Tile(seen.rows, seen.columns, kept_rows, kept_columns), self.network(part, ranges)

    def _tiles_of_size(self, shape: tuple[int, int], size: tuple[int, int], overlap_px: int) -> list[Tile]:
        whole = tuple(
            length if length == side else _whole_strides(length) for length, side in zip(shape, size, strict=True)
        )
        larger = [side for length, side in zip(shape, size, strict=True) if length != side]
        try:
            if any(side % _STRIDE for side in larger):
                raise ValueError("size: must be a multiple of the stride")
            return plan_tiles_of_size((whole[0], whole[1]), size, overlap_px)
        except ValueError as error:
            raise InputError(
                f"{self.path}: exported for tiles of {size[0]}×{size[1]} pixels, of which {overlap_px} on each side "
                f"only overlap; they cannot cover frames of {shape[0]}×{shape[1]}; export it with another tile, "
                f"a multiple of {_STRIDE}"
            ) from error

    def _with_border(self, frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return frames with what the network adds to them: zeros, after normalization, up to whole strides."""
        extra = [
            0 if length == side else _whole_strides(length) - length
            for length, side in zip(frames.shape[1:], size, strict=True)
        ]
        if not any(extra):
            return frames
        section = self.setup.normalization
        zero = frames.min((1, 2), keepdims=True) if section.kind == "project_01" else np.float32(section.subtract)
        larger = np.empty((len(frames), frames.shape[1] + extra[0], frames.shape[2] + extra[1]), np.float32)
        larger[:] = zero
        larger[:, : frames.shape[1], : frames.shape[2]] = frames
        return larger


def _whole_strides(length: int) -> int:
    return -(-length // _STRIDE) * _STRIDE
