"""A saved model that turns frames into positions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.localization.engines.engine import Engine, open_engine
from ds3d_tf.localization.engines.saved_model import find_saved_model
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.localization.peaks.tiles import (
    BYTES_OF_THE_PROCESS,
    DEFAULT_MEMORY_GB,
    MIN_TILE_PX,
    bytes_per_pixel,
    frames_a_step,
    pixels_within,
    tile_overlap_px,
    tile_size,
)
from ds3d_tf.localization.tables.tables import COLUMNS, MEASURED_COLUMNS
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["DEFAULT_MEMORY_GB", "Localizer", "find_saved_model"]


class Localizer:
    """A model in any format of this package, with its setup and mask, ready to localize frames of any size.

    ``setup`` is the ``Setup`` and ``mask_rad`` the phase mask (float64 ``[N, N]``, rad) of the network's training.
    """

    def __init__(
        self, model: str | Path | Engine, *, memory_gb: float = DEFAULT_MEMORY_GB, precision: str = "float32"
    ) -> None:
        """Load the model.

        Args:
            model: a SavedModel, a run folder that holds one as ``saved_model/``, a folder of numbered versions, of
                which the highest is taken, the ``.tflite``, ``.onnx`` or ``.xml`` that
                `ds3d export` wrote, or the name of a shipped model.
            memory_gb: memory of the process, GB (10⁹ bytes), within which frames are localized, in tiles if need be.
            precision: "float32", or "bfloat16" for processors that are faster at it.

        Raises:
            InputError: there is no such model, or the model or the memory does not allow it.
        """
        self.engine = open_engine(model, precision) if isinstance(model, str | Path) else model
        self.path = self.engine.path
        self.setup: Setup = self.engine.setup
        self.mask_rad: np.ndarray = self.engine.mask_rad
        self.receptive_radius_px = self.engine.receptive_radius_px
        self.precision = self.engine.precision
        self.memory_gb = memory_gb

    @property
    def is_pixel_network(self) -> bool:
        """Whether the model answers once a camera pixel, with uncertainties."""
        return self.setup.learning.network == "pixel"

    @property
    def context_frames(self) -> int:
        """Frames that the network sees at once."""
        return self.setup.learning.context_frames

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table of its localizations."""
        return COLUMNS + (MEASURED_COLUMNS if self.is_pixel_network else ())

    def overlap_px(self, radius_voxels: int) -> int:
        """Return the pixels around a tile that are computed with it, for peaks of a radius in voxels."""
        if self.is_pixel_network:
            from ds3d_tf.localization.peaks.pixel_peaks import overlap_of_maps_px

            return overlap_of_maps_px(self.receptive_radius_px)
        return tile_overlap_px(self.receptive_radius_px, radius_voxels, self.setup.volume.lateral_voxels)

    def fingerprint(self) -> str:
        """Return a checksum of the graph and the weights: equal for equal models only."""
        return self.engine.fingerprint()

    def batch_size(self, shape: tuple[int, int]) -> int:
        """Return how many frames of ``shape`` (H, W) in pixels are best localized in one step."""
        return frames_a_step(shape)

    def localize(self, frames: Any, threshold: float | None = None, radius_voxels: int | None = None) -> Localizations:
        """Return the emitters in frames, which count from 1.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            threshold: smallest confidence, exclusive, in [0, scaling_factor]; None: the model's default.
            radius_voxels: a peak is the maximum of its (2r+1)³ neighbourhood, voxels; None: the model's default.

        Raises as :meth:`rows` does.
        """
        rows = self.rows(frames, threshold, radius_voxels)
        return Localizations.from_rows(rows, (np.shape(frames)[1], np.shape(frames)[2]), self.setup)

    def rows(
        self,
        frames: Any,
        threshold: float | None = None,
        radius_voxels: int | None = None,
        context: tuple[int, int] = (0, 0),
    ) -> list[np.ndarray]:
        """Return the emitters of each frame as a separate array.

        A network that sees three frames at once takes them as frames that follow one another; at either end, the one
        next to it stands for its missing neighbour.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            threshold: smallest confidence, exclusive, in [0, scaling_factor]; None: the model's default.
            radius_voxels: a peak is the maximum of its (2r+1)³ neighbourhood, voxels; None: the model's default.
            context: how many frames (0 or 1) at the beginning and at the end are only neighbours of the others.

        Returns:
            for each frame float32 ``[K, 4]`` (x, y, z, confidence): µm, x = y = 0 at the centre of pixel
            (H // 2, W // 2), z above the coverslip; confidence in [0, scaling_factor]. A pixel network adds six
            columns: photons and background (photoelectrons), σ of x, y and z (µm) and of the photons.

        Raises:
            InputError: the frames are smaller than the network's receptive radius.
            ValueError: ``threshold`` or ``radius_voxels`` is negative.
        """
        frames = self._checked(frames)
        if threshold is not None and not threshold >= 0:
            raise ValueError(f"threshold: expected 0 or more, got {threshold}")
        if radius_voxels is not None and radius_voxels < 0:
            raise ValueError(f"radius_voxels: expected 0 or more, got {radius_voxels}")
        step = self.batch_size((frames.shape[1], frames.shape[2]))
        if len(frames) <= 2 * step:
            return self._rows(frames, threshold, radius_voxels, context)
        # A whole recording in one call: memory and tiles are made for a step's frames.
        first, last, beside = context[0], len(frames) - context[1], int(self.context_frames > 1)
        rows = []
        for begin in range(first, last, step):
            end = min(begin + step, last)
            around = min(beside, begin), min(beside, len(frames) - end)
            part = frames[begin - around[0] : end + around[1]]
            rows += self._rows(part, threshold, radius_voxels, around)
        return rows

    def _rows(
        self, frames: Any, threshold: float | None, radius_voxels: int | None, context: tuple[int, int]
    ) -> list[np.ndarray]:
        tile = self.tile_size((frames.shape[1], frames.shape[2]), len(frames), radius_voxels)
        engine: Any = self.engine
        given = {"context": context} if any(context) else {}
        xyz_um, confidence, count, *details = engine.localize(frames, threshold, radius_voxels, tile, **given)
        rows = np.concatenate([xyz_um, confidence[..., np.newaxis], *details], axis=-1)
        return [row[:number] for row, number in zip(rows, count, strict=True)]

    def tile_size(self, shape: tuple[int, int], batch: int = 1, radius_voxels: int | None = None) -> tuple[int, int]:
        """Return rows and columns, pixels, of the tiles in which frames are localized; (0, 0): whole.

        It depends on nothing but its arguments, the model, ``memory_gb`` and ``precision``, so that all processes of
        a job use the same tiles. ``shape`` is (H, W) in pixels, ``batch`` the number of frames at a time.

        Raises InputError if ``memory_gb`` is too little for any tile.
        """
        if radius_voxels is None:
            radius_voxels = self.setup.learning.peak_radius_voxels
        overlap_px = self.overlap_px(radius_voxels)
        pixels = pixels_within(self.memory_gb, self.setup, self.precision) // batch
        if self.engine.size_px is not None:
            if self.engine.size_px[0] * self.engine.size_px[1] > pixels * batch:
                raise self._too_little(self.engine.size_px, 1)
            return self.engine.size_px
        if shape[0] * shape[1] <= pixels:
            return 0, 0
        if not self.engine.has_tiles or not self.receptive_radius_px:
            raise InputError(
                f"{self.path}: frames of {shape[0]}×{shape[1]} pixels need {self.needed_gb(shape, batch):.1f} GB and "
                "this model was exported without tiles; export it again with this version, or allow a larger "
                f"{argument('memory_gb')}"
            )
        tile = tile_size(shape, overlap_px, pixels)
        if tile is None:
            smallest = min(shape[0], MIN_TILE_PX + 2 * overlap_px), min(shape[1], MIN_TILE_PX + 2 * overlap_px)
            raise self._too_little(smallest, batch)
        return tile

    def needed_gb(self, shape: tuple[int, int], batch: int = 1) -> float:
        """Return the memory, GB, of a process that localizes ``batch`` frames of ``shape`` (H, W) pixels whole."""
        pixels = batch * shape[0] * shape[1]
        return (BYTES_OF_THE_PROCESS + pixels * bytes_per_pixel(self.setup, self.precision)) / 1e9

    def volume(
        self, frames: Any, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None
    ) -> tf.Tensor | np.ndarray:
        """Return the network's output for whole frames, or a part of that output, as tensor or array.

        It is returned as computed: a tensor where TensorFlow computes it, otherwise an array.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            rows: first and last (exclusive) row of the part, pixels; None: all.
            columns: first and last (exclusive) column of the part, pixels; None: all.

        Returns:
            float32 ``[B, 4H, 4W, D]`` (row, column, depth; H and W of the part), confidence in [0, scaling_factor].

        Raises InputError if the frames are smaller than the receptive field allows, or the model has no such
        signature.
        """
        return self.engine.volume(self._checked(frames), rows, columns)

    def _too_little(self, tile: tuple[int, int], batch: int) -> InputError:
        return InputError(
            f"{argument('memory_gb')} {self.memory_gb:g}: too little; the smallest tiles of this model need "
            f"{self.needed_gb(tile, batch) + 0.1:.1f} GB"
        )

    def check_shape(self, shape: tuple[int, int], where: str = "frames") -> None:
        """Raise InputError if frames of ``shape`` (H, W) in pixels are too small for the network or its tile."""
        size = self.engine.size_px
        if size is not None and (shape[0] < size[0] or shape[1] < size[1]):
            raise InputError(
                f"{where}: frames of {shape[0]}×{shape[1]} pixels are smaller than the tile of {size[0]}×{size[1]} "
                f"that {self.path} was exported for; export it with a smaller one"
            )
        # The pixel network learns frames of any size, and their borders with them.
        if min(shape) < (1 if self.is_pixel_network else max(self.receptive_radius_px, 1)):
            raise InputError(
                f"{where}: frames of {shape[0]}×{shape[1]} pixels are smaller than half the network's receptive field; "
                f"each side needs at least {max(self.receptive_radius_px, 1)} pixels"
            )

    def _checked(self, frames: Any) -> Any:
        import tensorflow as tf

        if isinstance(frames, (str, Path)):
            raise InputError(
                f"frames {frames}: expected an array [batch, row, column] of counts, not a file's name; read it with "
                "open_frames, or make a table of it with ds3d_tf.localize"
            )
        frames = tf.cast(tf.convert_to_tensor(frames), tf.float32)
        if frames.shape.rank != 3:
            raise ValueError(f"frames: expected [batch, row, column], got shape {frames.shape}")
        if self.setup.normalization.kind == "factors" and frames.shape[0]:
            low, high = float(tf.reduce_min(frames)), float(tf.reduce_max(frames))
            if low >= 0 and 0 < high <= 1 < self.setup.normalization.divide:
                warnings.warn(
                    "the frames hold values between 0 and 1; this model expects the camera's counts and finds nothing",
                    stacklevel=4,
                )
        self.check_shape((frames.shape[1], frames.shape[2]))
        return frames


def checked_options(setup: Setup, threshold: float | None, radius_voxels: int | None) -> tuple[float, int]:
    """Return both, with the setup's values for None; raises InputError for values out of range."""
    learning = setup.learning
    threshold = learning.peak_threshold if threshold is None else threshold
    radius_voxels = learning.peak_radius_voxels if radius_voxels is None else radius_voxels
    if not 0 <= threshold < learning.scaling_factor:
        raise InputError(
            f"{argument('threshold')} {threshold:g}: expected a confidence from 0 to below "
            f"{learning.scaling_factor:g}, the network's largest"
        )
    if radius_voxels < 1:
        raise InputError(f"{argument('radius_voxels')} {radius_voxels}: expected 1 voxel or more")
    return float(threshold), int(radius_voxels)
