"""Tiles and peaks around a network that some other program evaluates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.localization.engines.network_file import read_network_file
from ds3d_tf.localization.engines.runtimes import Network, open_network, precisions
from ds3d_tf.localization.peaks.tile_plan import Tile, plan_tiles, plan_tiles_of_size
from ds3d_tf.localization.peaks.tiles import tile_overlap_px
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.voxel_grid import VoxelGrid


class NetworkEngine:
    """An Engine around a function of raw frames and their ranges; its results are those of the whole frame.

    The network is given tiles of the frames; the peaks of all tiles are joined as those of one volume.
    """

    has_tiles = True

    def __init__(
        self,
        network: Network,
        setup: Setup,
        mask_rad: np.ndarray,
        receptive_radius_px: int,
        *,
        path: str | Path = "network",
        size_px: tuple[int, int] | None = None,
        precision: str = "float32",
        fingerprint: Callable[[], str] | None = None,
    ) -> None:
        """Put the pieces together.

        Args:
            network: function of raw frames float32 ``[B, h, w]`` and their ranges float32 ``[B, 2]`` (smallest and
                largest count of the whole frame) that returns the volume, float32 ``[B, 4h, 4w, D]``.
            setup: its ``Setup``.
            mask_rad: float64 ``[N, N]`` (row, column), phase mask, rad.
            receptive_radius_px: largest distance, in pixels, at which the network sees.
            path: where it is, for messages.
            size_px: rows and columns, pixels, of the only input it takes; None: any.
            precision: "float32" or "bfloat16".
            fingerprint: gives a checksum of the network.
        """
        self.network = network
        self.setup = setup
        self.mask_rad = mask_rad
        self.receptive_radius_px = receptive_radius_px
        self.path = Path(path)
        self.size_px = size_px
        self.precision = precision
        self._fingerprint = fingerprint

    @property
    def _per_pixel(self) -> int:
        return self.setup.volume.lateral_voxels

    def fingerprint(self) -> str:
        """Return a checksum of the network: equal for equal networks only."""
        if self._fingerprint is None:
            raise ValueError("fingerprint: this network has none")
        return self._fingerprint()

    def localize(
        self, frames: Any, threshold: float | None, radius_voxels: int | None, tile: tuple[int, int]
    ) -> tuple[np.ndarray, ...]:
        """Return the emitters in each frame.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            threshold: smallest confidence, exclusive; None: the setup's.
            radius_voxels: radius of a peak, voxels; None: the setup's.
            tile: rows and columns, pixels, that are localized at a time; 0 for all.

        Returns:
            positions float32 ``[B, K, 3]`` (x, y, z), µm; confidence float32 ``[B, K]``; count int32 ``[B]``.

        Raises InputError if the network's only size leaves nothing between the borders.
        """
        from ds3d_tf.localization.peaks.tiled_peaks import peaks_of_tiles

        frames = np.asarray(frames, np.float32)
        learning, shape = self.setup.learning, (frames.shape[1], frames.shape[2])
        threshold = learning.peak_threshold if threshold is None else threshold
        radius = learning.peak_radius_voxels if radius_voxels is None else radius_voxels
        maxima = []
        plan = self._tiles(shape, tile, tile_overlap_px(self.receptive_radius_px, radius, self._per_pixel))
        for seen, volume in self._volumes(frames, plan):
            corner = seen.rows[0], seen.columns[0]
            box = [edge - corner[0] for edge in seen.kept_rows] + [edge - corner[1] for edge in seen.kept_columns]
            maxima.append(self._maxima(volume, corner, box, threshold, radius))
        full = [len(frames), self._per_pixel * shape[0], self._per_pixel * shape[1], self.setup.volume.depth_voxels]
        voxels, confidence, count = peaks_of_tiles(maxima, full, radius, learning.keep_single_z)
        xyz_um = VoxelGrid.from_setup(self.setup).positions_um(voxels, shape)
        return np.asarray(xyz_um), np.asarray(confidence), np.asarray(count)

    def volume(
        self, frames: Any, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return the network's output for whole frames, or a part of that output.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            rows: first and last (exclusive) row of the part, pixels; None: all.
            columns: first and last (exclusive) column of the part, pixels; None: all.

        Returns:
            float32 ``[B, 4H, 4W, D]`` (row, column, depth; H and W of the part), confidence.
        """
        frames = np.asarray(frames, np.float32)
        shape = (frames.shape[1], frames.shape[2])
        rows, columns = rows or (0, shape[0]), columns or (0, shape[1])
        if self.size_px is None:
            seen = [
                (max(first - self.receptive_radius_px, 0), min(last + self.receptive_radius_px, length))
                for (first, last), length in zip((rows, columns), shape, strict=True)
            ]
            tiles = [Tile(seen[0], seen[1], rows, columns)]
        else:
            tiles = self._tiles(shape, (0, 0), self.receptive_radius_px)
        size = [self._per_pixel * (last - first) for first, last in (rows, columns)]
        result = np.zeros((len(frames), *size, self.setup.volume.depth_voxels), np.float32)
        for tile, volume in self._volumes(frames, tiles):
            kept = [
                (max(first, start), min(last, end))
                for (first, last), (start, end) in zip(
                    (tile.kept_rows, tile.kept_columns), (rows, columns), strict=True
                )
            ]
            if all(first < last for first, last in kept):
                to, source = (
                    tuple(
                        slice(self._per_pixel * (first - corner), self._per_pixel * (last - corner))
                        for (first, last), corner in zip(kept, corners, strict=True)
                    )
                    for corners in ((rows[0], columns[0]), (tile.rows[0], tile.columns[0]))
                )
                result[(slice(None), *to)] = np.asarray(volume)[(slice(None), *source)]
        return result

    def _tiles(self, shape: tuple[int, int], tile: tuple[int, int], overlap_px: int) -> list[Tile]:
        if self.size_px is None:
            return plan_tiles(shape, tile, overlap_px)
        try:
            return plan_tiles_of_size(shape, self.size_px, overlap_px)
        except ValueError as error:
            height, width = self.size_px
            raise InputError(
                f"{self.path}: exported for tiles of {height}×{width} pixels, of which {overlap_px} on each side only "
                f"overlap; they cannot cover frames of {shape[0]}×{shape[1]}; export it with another size of tile"
            ) from error

    def _volumes(self, frames: np.ndarray, tiles: list[Tile]) -> Iterator[tuple[Tile, Any]]:
        ranges = np.stack([frames.min((1, 2)), frames.max((1, 2))], axis=1)
        for tile in tiles:
            pixels = np.ascontiguousarray(frames[:, slice(*tile.rows), slice(*tile.columns)])
            yield tile, self.network(pixels, ranges)

    def _maxima(
        self, volume: Any, corner: tuple[int, int], box: list[int], threshold: float, radius: int
    ) -> tuple[Any, ...]:
        import tensorflow as tf

        edges = [self._per_pixel * edge for edge in box]
        voxels, tied, offset, confidence = _local_maxima(self.setup.volume.depth_voxels)(
            volume, tf.constant(threshold, tf.float32), tf.constant(radius), tf.constant(edges)
        )
        shift = [0, self._per_pixel * corner[0], self._per_pixel * corner[1], 0]
        return voxels + tf.constant(shift, tf.int64), tied, offset, confidence


@lru_cache
def _local_maxima(depth_voxels: int) -> Callable[..., Any]:
    """Return the search for maxima as one graph for tiles of any size."""
    import tensorflow as tf

    from ds3d_tf.localization.peaks.peaks import local_maxima

    specs = [
        tf.TensorSpec([None, None, None, depth_voxels], tf.float32),
        tf.TensorSpec([], tf.float32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([4], tf.int32),
    ]
    return tf.function(
        lambda volume, threshold, radius, box: local_maxima(volume, threshold, radius, tuple(tf.unstack(box))),
        input_signature=specs,
        autograph=False,
    )


def engine_class(setup: Setup) -> type[NetworkEngine]:
    """Return the class of engine for the kind of network that a ``Setup`` asks for."""
    if setup.learning.network == "voxel":
        return NetworkEngine
    from ds3d_tf.localization.engines.pixel_network import PixelNetworkEngine

    return PixelNetworkEngine


def open_network_engine(path: str | Path, precision: str = "float32") -> NetworkEngine:
    """Return the engine of a network's file and its description.

    Raises InputError if a file is missing or damaged, its runtime is not installed, or it has no such precision.
    """
    file = read_network_file(path)
    if precision not in precisions(file):
        raise InputError(
            f"{argument('precision')} {precision}: {path} is evaluated in {' and '.join(precisions(file))} only; "
            "leave the option out, or use the SavedModel"
        )
    return engine_class(file.setup)(
        open_network(file, precision),
        file.setup,
        file.mask_rad,
        file.receptive_radius_px,
        path=file.path,
        size_px=file.tile_px,
        precision=precision,
        fingerprint=file.fingerprint,
    )
