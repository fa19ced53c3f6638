"""A saved model that turns frames into positions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.tiles import SMALLEST_TILE_PX, tile_size
from ds3d_tf.setup import Setup, load_setup

if TYPE_CHECKING:
    import tensorflow as tf

SETUP_FILE, MASK_FILE, NETWORK_FILE = "setup.yaml", "mask.npy", "network.json"
_GRAPH_FILE = "saved_model.pb"
# Frames of at most so many pixels together are localized in one step: memory grows with them.
_PIXELS_A_STEP = 2 * 121 * 121
_LARGEST_BATCH = 64
DEFAULT_MEMORY_GB = 4.0
# Measured: TensorFlow (and JAX, which Keras loads where it is installed), the model, reading and finding peaks.
_BYTES_OF_THE_PROCESS = 0.9e9
# Images of one channel a depth voxel, at voxel resolution, that the network holds at a time.
_LIVE_IMAGES = 3


class Localizer:
    """A SavedModel of this package, with its setup and mask, ready to localize frames of any size.

    ``setup`` is the ``Setup`` and ``mask`` the phase mask (float64 ``[N, N]``, rad) that the network was trained with.
    """

    def __init__(
        self, model_dir: str | Path, *, memory_gb: float = DEFAULT_MEMORY_GB, precision: str = "float32"
    ) -> None:
        """Load the model.

        Args:
            model_dir: a SavedModel, a run folder that holds one as ``saved_model/``, or a folder of numbered
                versions, of which the highest is taken.
            memory_gb: memory of the process, GB (10⁹ bytes), within which frames are localized, in tiles if need be.
            precision: "float32", or "bfloat16" for processors that are faster at it.

        Raises:
            InputError: the folder holds no such model, or the model or the memory does not allow it.
        """
        self.folder = find_saved_model(model_dir)
        assets = self.folder / "assets"
        self.setup = _read_setup(assets / SETUP_FILE)
        self.mask: np.ndarray = _load(lambda: np.load(assets / MASK_FILE, allow_pickle=False), assets / MASK_FILE)
        facts = _load(lambda: dict(json.loads((assets / NETWORK_FILE).read_text())), assets / NETWORK_FILE)
        self.reach_px: int = facts.get("reach_px") or 0
        self.precision = precision
        self.memory_gb = memory_gb
        precisions = facts.get("precisions", ["float32"])
        if precision not in precisions:
            raise InputError(
                f"--precision {precision}: {self.folder} was exported with {' and '.join(precisions)} only"
                + ("; export it again with this version" if precision == "bfloat16" else "")
            )
        import tensorflow as tf

        self._model = _load(lambda: tf.saved_model.load(str(self.folder)), self.folder / _GRAPH_FILE)
        missing = {"serving_default", "volume", "with_options"} - set(self._model.signatures)
        if missing:
            raise InputError(
                f"{self.folder}: a SavedModel of another program (signature {min(missing)!r} is missing); "
                "export it again with this package"
            )

    def fingerprint(self) -> str:
        """Return a checksum of the graph and the weights: equal for equal models only."""
        digest = hashlib.sha256()
        for path in sorted([self.folder / _GRAPH_FILE, *(self.folder / "variables").glob("*")]):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def batch_size(self, shape: tuple[int, int]) -> int:
        """Return how many frames of ``shape`` (H, W) in pixels are best localized in one step."""
        return int(np.clip(_PIXELS_A_STEP // max(shape[0] * shape[1], 1), 1, _LARGEST_BATCH))

    def localize(
        self, frames: Any, threshold: float | None = None, radius_voxels: int | None = None
    ) -> list[np.ndarray]:
        """Return the emitters in each frame.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            threshold: smallest confidence, exclusive, in [0, scaling_factor]; None: the model's own.
            radius_voxels: a peak is the maximum of its (2r+1)³ neighbourhood, voxels; None: the model's own.

        Returns:
            for each frame float32 ``[K, 4]`` (x, y, z, confidence): µm, x = y = 0 at the centre of pixel
            (H // 2, W // 2), z above the coverslip; confidence in [0, scaling_factor].

        Raises:
            InputError: the frames are smaller than the network's reach.
            ValueError: ``threshold`` or ``radius_voxels`` is negative.
        """
        import tensorflow as tf

        frames = self._checked(frames)
        if threshold is not None and not threshold >= 0:
            raise ValueError(f"threshold: expected 0 or more, got {threshold}")
        if radius_voxels is not None and radius_voxels < 0:
            raise ValueError(f"radius_voxels: expected 0 or more, got {radius_voxels}")
        options = {
            "threshold": tf.constant(-1.0 if threshold is None else threshold, tf.float32),
            "radius": tf.constant(-1 if radius_voxels is None else radius_voxels, tf.int32),
        }
        tile = self.tile_size((frames.shape[1], frames.shape[2]), len(frames), radius_voxels)
        if self._has_tiles:
            options["tile"] = tf.constant(tile, tf.int32)
            options["bfloat16"] = tf.constant(self.precision == "bfloat16")
        result = self._model.signatures["in_tiles" if self._has_tiles else "with_options"](frames=frames, **options)
        xyz_um, confidence, count = (result[name].numpy() for name in ("xyz_um", "confidence", "count"))
        rows = np.concatenate([xyz_um, confidence[..., np.newaxis]], axis=-1)
        return [row[:number] for row, number in zip(rows, count, strict=True)]

    def tile_size(self, shape: tuple[int, int], batch: int = 1, radius_voxels: int | None = None) -> tuple[int, int]:
        """Return rows and columns, pixels, of the tiles in which frames are localized; (0, 0): whole.

        It depends on nothing but its arguments, the model, ``memory_gb`` and ``precision``, so that all processes of
        a job use the same tiles. ``shape`` is (H, W) in pixels, ``batch`` the number of frames at a time.

        Raises InputError if ``memory_gb`` is too little for any tile.
        """
        from ds3d_tf.simulation.voxel_grid import VOXELS_PER_PIXEL

        if radius_voxels is None:
            radius_voxels = self.setup.learning.peak_radius_voxels
        halo_px = self.reach_px + -(-radius_voxels // VOXELS_PER_PIXEL)
        pixels = (self.memory_gb * 1e9 - _BYTES_OF_THE_PROCESS) / (batch * self._bytes_per_pixel())
        if shape[0] * shape[1] <= pixels:
            return 0, 0
        if not self._has_tiles or not self.reach_px:
            raise InputError(
                f"{self.folder}: frames of {shape[0]}×{shape[1]} pixels need {self.needed_gb(shape, batch):.1f} GB and "
                "this model was exported without tiles; export it again with this version, or allow more by --memory"
            )
        tile = tile_size(shape, halo_px, int(pixels))
        if tile is None:
            smallest = min(shape[0], SMALLEST_TILE_PX + 2 * halo_px), min(shape[1], SMALLEST_TILE_PX + 2 * halo_px)
            raise InputError(
                f"--memory {self.memory_gb:g}: too little; the smallest tiles of this model need "
                f"{self.needed_gb(smallest, batch) + 0.1:.1f} GB"
            )
        return tile

    def needed_gb(self, shape: tuple[int, int], batch: int = 1) -> float:
        """Return the memory, GB, of a process that localizes ``batch`` frames of ``shape`` (H, W) pixels whole."""
        return (_BYTES_OF_THE_PROCESS + batch * shape[0] * shape[1] * self._bytes_per_pixel()) / 1e9

    def volume(
        self, frames: Any, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return the network's output, or what the whole frame's would be in a part of it.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            rows: first and last (exclusive) row of the part, pixels; None: all.
            columns: first and last (exclusive) column of the part, pixels; None: all.

        Returns:
            float32 ``[B, 4H, 4W, D]`` (row, column, depth; H and W of the part), confidence in [0, scaling_factor].

        Raises InputError if the frames are smaller than the network's reach, or the model has no such signature.
        """
        return self.predict(frames, rows, columns).numpy()

    def predict(
        self, frames: Any, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None
    ) -> tf.Tensor:
        """Return what :meth:`volume` does where it was computed, as a tensor.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            rows: first and last (exclusive) row of the part, pixels; None: all.
            columns: first and last (exclusive) column of the part, pixels; None: all.

        Returns:
            float32 ``[B, 4H, 4W, D]`` (row, column, depth; H and W of the part), confidence in [0, scaling_factor].
        """
        import tensorflow as tf

        frames = self._checked(frames)
        if rows is None and columns is None and self.precision == "float32":
            return self._model.signatures["volume"](frames=frames)["volume"]
        if not self._has_tiles:
            raise InputError(f"{self.folder}: was exported without tiles; export it again with this version")
        return self._model.signatures["volume_part"](
            frames=frames,
            rows=tf.constant(rows or (0, frames.shape[1]), tf.int32),
            columns=tf.constant(columns or (0, frames.shape[2]), tf.int32),
            bfloat16=tf.constant(self.precision == "bfloat16"),
        )["volume"]

    def check_shape(self, shape: tuple[int, int], where: str = "frames") -> None:
        """Raise InputError if frames of ``shape`` (H, W) in pixels are smaller than the network's reach."""
        if min(shape) < max(self.reach_px, 1):
            raise InputError(
                f"{where}: frames of {shape[0]}×{shape[1]} pixels are smaller than the network's reach; "
                f"each side needs at least {max(self.reach_px, 1)} pixels"
            )

    @property
    def _has_tiles(self) -> bool:
        return "in_tiles" in self._model.signatures

    def _bytes_per_pixel(self) -> int:
        from ds3d_tf.simulation.voxel_grid import VOXELS_PER_PIXEL

        channels = max(self.setup.volume.depth_voxels, self.setup.learning.filters)
        number = 2 if self.precision == "bfloat16" else 4
        return _LIVE_IMAGES * VOXELS_PER_PIXEL**2 * channels * number

    def _checked(self, frames: Any) -> Any:
        import tensorflow as tf

        frames = tf.cast(tf.convert_to_tensor(frames), tf.float32)
        if frames.shape.rank != 3:
            raise ValueError(f"frames: expected [batch, row, column], got shape {frames.shape}")
        self.check_shape((frames.shape[1], frames.shape[2]))
        return frames


def find_saved_model(model_dir: str | Path) -> Path:
    """Return the folder of the SavedModel: ``model_dir``, its ``saved_model/``, or its highest numbered version.

    Raises InputError if there is none.
    """
    folder = Path(model_dir).expanduser()
    if not folder.exists():
        raise InputError(f"{model_dir}: no such model folder; give the folder that training or import_weights wrote")
    if not folder.is_dir():
        raise InputError(f"{model_dir}: a file, not a model folder; give the folder that holds {_GRAPH_FILE}")
    for candidate in (folder, folder / "saved_model"):
        if (candidate / _GRAPH_FILE).is_file():
            return candidate
        versions = [f for f in candidate.glob("[0-9]*") if f.name.isdigit() and (f / _GRAPH_FILE).is_file()]
        if versions:
            return max(versions, key=lambda version: int(version.name))
    raise InputError(
        f"{model_dir}: not a model folder (no {_GRAPH_FILE} in it, in saved_model/ or in a numbered version)"
    )


def _read_setup(path: Path) -> Setup:
    if not path.is_file():
        raise InputError(f"{path}: missing; this SavedModel is of another program or incomplete")
    return load_setup(path)


def _load(action: Any, path: Path) -> Any:
    try:
        return action()
    except Exception as error:  # TensorFlow, NumPy and JSON raise many kinds for a damaged file
        raise InputError(f"{path}: missing or damaged; export the model again") from error
