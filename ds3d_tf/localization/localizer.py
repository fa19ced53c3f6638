"""A saved model that turns frames into positions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup import Setup, load_setup

SETUP_FILE, MASK_FILE, NETWORK_FILE = "setup.yaml", "mask.npy", "network.json"
_GRAPH_FILE = "saved_model.pb"
# Frames of at most so many pixels together are localized in one step: memory grows with them.
_PIXELS_A_STEP = 2 * 121 * 121
_LARGEST_BATCH = 64


class Localizer:
    """A SavedModel of this package, with its setup and mask, ready to localize frames of any size.

    ``setup`` is the ``Setup`` and ``mask`` the phase mask (float64 ``[N, N]``, rad) that the network was trained with.
    """

    def __init__(self, model_dir: str | Path) -> None:
        """Load the model.

        Args:
            model_dir: a SavedModel, a run folder that holds one as ``saved_model/``, or a folder of numbered
                versions, of which the highest is taken.

        Raises:
            InputError: the folder holds no such model.
        """
        self.folder = find_saved_model(model_dir)
        assets = self.folder / "assets"
        self.setup = _read_setup(assets / SETUP_FILE)
        self.mask: np.ndarray = _load(lambda: np.load(assets / MASK_FILE, allow_pickle=False), assets / MASK_FILE)
        self.reach_px: int = (
            _load(lambda: json.loads((assets / NETWORK_FILE).read_text()), assets / NETWORK_FILE).get("reach_px") or 0
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

        if threshold is not None and not threshold >= 0:
            raise ValueError(f"threshold: expected 0 or more, got {threshold}")
        if radius_voxels is not None and radius_voxels < 0:
            raise ValueError(f"radius_voxels: expected 0 or more, got {radius_voxels}")
        result = self._model.signatures["with_options"](
            frames=self._checked(frames),
            threshold=tf.constant(-1.0 if threshold is None else threshold, tf.float32),
            radius=tf.constant(-1 if radius_voxels is None else radius_voxels, tf.int32),
        )
        xyz_um, confidence, count = (result[name].numpy() for name in ("xyz_um", "confidence", "count"))
        rows = np.concatenate([xyz_um, confidence[..., np.newaxis]], axis=-1)
        return [row[:number] for row, number in zip(rows, count, strict=True)]

    def volume(self, frames: Any) -> np.ndarray:
        """Return the network's output.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.

        Returns:
            float32 ``[B, 4H, 4W, D]`` (row, column, depth), confidence in [0, scaling_factor].

        Raises InputError if the frames are smaller than the network's reach.
        """
        return self._model.signatures["volume"](frames=self._checked(frames))["volume"].numpy()

    def check_shape(self, shape: tuple[int, int], where: str = "frames") -> None:
        """Raise InputError if frames of ``shape`` (H, W) in pixels are smaller than the network's reach."""
        if min(shape) < max(self.reach_px, 1):
            raise InputError(
                f"{where}: frames of {shape[0]}×{shape[1]} pixels are smaller than the network's reach; "
                f"each side needs at least {max(self.reach_px, 1)} pixels"
            )

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
