"""What evaluates a model for the Localizer: a SavedModel, or a network's file with tiles and peaks around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ds3d_tf.common.file_names import GRAPH_FILE
from ds3d_tf.localization.engines.network_file import is_network_file
from ds3d_tf.setup import Setup


class Engine(Protocol):
    """A model that localizes whole frames or tiles of them.

    Attributes:
        path: its folder or file.
        setup: the ``Setup`` it was trained with.
        mask_rad: float64 ``[N, N]`` (row, column), its phase mask, rad.
        receptive_radius_px: largest distance, in pixels, at which the network sees; 0 if not known.
        precision: "float32" or "bfloat16".
        size_px: rows and columns, pixels, of the only input the network takes; None: any.
    """

    path: Path
    setup: Setup
    mask_rad: np.ndarray
    receptive_radius_px: int
    precision: str
    size_px: tuple[int, int] | None

    @property
    def has_tiles(self) -> bool:
        """Whether tiles of any size are possible."""

    def fingerprint(self) -> str:
        """Return a checksum: equal for equal models only."""

    def localize(
        self, frames: Any, threshold: float | None, radius_voxels: int | None, tile: tuple[int, int]
    ) -> tuple[Any, ...]:
        """Return positions ``[B, K, 3]``, confidence ``[B, K]`` and count ``[B]`` for raw frames ``[B, H, W]``.

        A pixel network adds details ``[B, K, 6]``: photons, background, σ of x, y and z (µm) and of the photons.
        """

    def volume(self, frames: Any, rows: tuple[int, int] | None, columns: tuple[int, int] | None) -> Any:
        """Return the volume ``[B, 4H, 4W, D]`` of raw frames ``[B, H, W]``, or of a part of them, as computed."""


def open_engine(model: str | Path, precision: str = "float32") -> Engine:
    """Return what evaluates a model: a network's file (known by its suffix), or else the folder of a SavedModel.

    Raises InputError if there is no such model, or it cannot be evaluated in this precision.
    """
    if is_network_file(model):
        from ds3d_tf.localization.engines.network import open_network_engine

        return open_network_engine(model, precision)
    from ds3d_tf.localization.engines.saved_model import SavedModelEngine

    return SavedModelEngine(model, precision)


def model_file(model: str | Path) -> Path:
    """Return the file whose date changes when a model is exported again: the network's, or a SavedModel's graph.

    Raises InputError if there is no such model.
    """
    from ds3d_tf.localization.engines.saved_model import find_saved_model

    return Path(model).expanduser() if is_network_file(model) else find_saved_model(model) / GRAPH_FILE
