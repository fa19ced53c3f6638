"""A network as a SavedModel: raw counts in, positions in µm out, with no need of this package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_folder
from ds3d_tf.export.fused_network import FusedNetwork
from ds3d_tf.localization.localizer import MASK_FILE, NETWORK_FILE, SETUP_FILE
from ds3d_tf.localization.peaks import find_peaks
from ds3d_tf.localization.tiled_peaks import localize_in_tiles
from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.simulation.normalization import normalize
from ds3d_tf.simulation.voxel_grid import VOXELS_PER_PIXEL, VoxelGrid

# For a network that does not tell how far it looks: every tile sees the whole frame.
_BEYOND_ANY_FRAME = 2**20


def export_saved_model(model: Any, setup: Any, mask: Any, folder: str | Path) -> None:
    """Write a network as a SavedModel with its normalization, peak finding, setup and mask inside.

    Signatures (docs/saved_model.md): ``serving_default``, ``with_options`` and ``in_tiles`` localize, ``volume`` and
    ``volume_part`` give the network's output. ``assets/`` holds ``setup.yaml``, ``mask.npy`` and ``network.json``.

    Args:
        model: maps normalized frames float32 ``[B, H, W]`` to confidences float32 ``[B, 4H, 4W, D]``, no unit.
        setup: its ``Setup``.
        mask: float64 ``[N, N]`` (rows along y), rad: the phase mask it was trained with.
        folder: where to, whole or not at all; a SavedModel that is there is replaced.

    Raises:
        InputError: the folder cannot be written, or holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / "saved_model.pb").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is no SavedModel; choose another name")
    module = _module(model, setup)
    size = int(np.shape(mask)[0])
    travelling = setup.replace({"mask.source": MASK_FILE, "mask.size_px": size, "mask.zernike_rad": {}})
    reach = getattr(model, "reach_px", None)
    with whole_folder(folder) as temporary:
        tf.saved_model.save(
            module,
            str(temporary),
            signatures={
                "serving_default": module.serving_default,
                "volume": module.volume,
                "with_options": module.localize,
                "in_tiles": module.in_tiles,
                "volume_part": module.volume_part,
            },
        )
        assets = temporary / "assets"
        assets.mkdir(exist_ok=True)
        (assets / SETUP_FILE).write_text(travelling.to_yaml(), encoding="utf-8")
        np.save(assets / MASK_FILE, np.asarray(mask, np.float64))
        facts = {"reach_px": None if reach is None else int(reach), "precisions": _precisions(model)}
        (assets / NETWORK_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _precisions(model: Any) -> list[str]:
    return ["float32", "bfloat16"] if isinstance(model, LocalizationNet) else ["float32"]


class _PlainNetwork(tf.Module):
    """A Keras model as it is."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        # The variables alone: a Keras object would drag its Python-side registry into the file.
        self.weights = [variable.value for variable in model.variables]
        self._call = lambda frames: model(frames, training=False)

    def __call__(self, frames: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
        return tf.cast(self._call(frames), tf.float32)


def _module(model: Any, setup: Any) -> tf.Module:
    learning, grid = setup.learning, VoxelGrid.from_setup(setup)
    frames_spec = tf.TensorSpec([None, None, None], tf.float32, name="frames")
    own_threshold, own_radius = float(learning.peak_threshold), int(learning.peak_radius_voxels)
    reach_px = getattr(model, "reach_px", None) or _BEYOND_ANY_FRAME
    has_bfloat16 = "bfloat16" in _precisions(model)

    class ExportedNetwork(tf.Module):
        """What the SavedModel holds; ``localize`` has optional arguments when called from Python, too."""

        def __init__(self) -> None:
            super().__init__()
            self.network = FusedNetwork(model) if has_bfloat16 else _PlainNetwork(model)

        @tf.function(input_signature=[frames_spec], autograph=False)
        def volume(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"volume": self._predict(frames)}

        @tf.function(input_signature=[frames_spec], autograph=False)
        def serving_default(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._localize(frames, tf.constant(own_threshold, tf.float32), tf.constant(own_radius, tf.int32))

        # Tensors as defaults end up in the SavedModel's signature, which makes these inputs optional there.
        @tf.function(
            input_signature=[
                frames_spec,
                tf.TensorSpec([], tf.float32, name="threshold"),
                tf.TensorSpec([], tf.int32, name="radius"),
            ],
            autograph=False,
        )
        def localize(
            self,
            frames: tf.Tensor,
            threshold: tf.Tensor = tf.constant(own_threshold, tf.float32),  # noqa: B008
            radius: tf.Tensor = tf.constant(own_radius, tf.int32),  # noqa: B008
        ) -> dict[str, tf.Tensor]:
            threshold = tf.where(threshold >= 0, threshold, own_threshold)
            return self._localize(frames, threshold, tf.where(radius >= 0, radius, own_radius))

        @tf.function(
            input_signature=[
                frames_spec,
                tf.TensorSpec([], tf.float32, name="threshold"),
                tf.TensorSpec([], tf.int32, name="radius"),
                tf.TensorSpec([2], tf.int32, name="tile"),
                tf.TensorSpec([], tf.bool, name="bfloat16"),
            ],
            autograph=False,
        )
        def in_tiles(
            self,
            frames: tf.Tensor,
            threshold: tf.Tensor = tf.constant(own_threshold, tf.float32),  # noqa: B008
            radius: tf.Tensor = tf.constant(own_radius, tf.int32),  # noqa: B008
            tile: tf.Tensor = tf.constant([0, 0], tf.int32),  # noqa: B008
            bfloat16: tf.Tensor = tf.constant(False),  # noqa: B008
        ) -> dict[str, tf.Tensor]:
            radius = tf.where(radius >= 0, radius, own_radius)
            voxels, confidence, count = localize_in_tiles(
                normalize(frames, setup.normalization),
                lambda part, use: self._in_precision(part, bfloat16, use),
                (tile[0], tile[1]),
                reach_px,
                tf.where(threshold >= 0, threshold, own_threshold),
                radius,
                learning.keep_single_z,
                setup.volume.depth_voxels,
            )
            return self._found(frames, voxels, confidence, count)

        @tf.function(
            input_signature=[
                frames_spec,
                tf.TensorSpec([2], tf.int32, name="rows"),
                tf.TensorSpec([2], tf.int32, name="columns"),
                tf.TensorSpec([], tf.bool, name="bfloat16"),
            ],
            autograph=False,
        )
        def volume_part(
            self, frames: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, bfloat16: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            first = tf.maximum(tf.stack([rows[0], columns[0]]) - reach_px, 0)
            part = normalize(frames, setup.normalization)[
                :, first[0] : rows[1] + reach_px, first[1] : columns[1] + reach_px
            ]
            inner = [VOXELS_PER_PIXEL * (edges - corner) for edges, corner in ((rows, first[0]), (columns, first[1]))]
            volume = self._in_precision(
                part,
                bfloat16,
                lambda volume: tf.cast(volume[:, inner[0][0] : inner[0][1], inner[1][0] : inner[1][1]], tf.float32),
            )
            return {"volume": volume}

        def _in_precision(self, part: tf.Tensor, bfloat16: tf.Tensor, use: Callable[[tf.Tensor], Any]) -> Any:
            if not has_bfloat16:
                return use(self.network(part))
            return tf.cond(
                bfloat16,
                lambda: use(self.network(part, tf.bfloat16)),
                lambda: use(self.network(part, tf.float32)),
            )

        def _found(
            self, frames: tf.Tensor, voxels: tf.Tensor, confidence: tf.Tensor, count: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            shape = tf.shape(frames)
            xyz_um = grid.positions_um(voxels, (shape[1], shape[2]))
            found = tf.sequence_mask(count, tf.shape(confidence)[1])[..., tf.newaxis]
            return {"xyz_um": tf.where(found, xyz_um, 0.0), "confidence": confidence, "count": count}

        # Functions of their own, so that the network and the peak finding are in the file once.
        @tf.function(input_signature=[frames_spec], autograph=False)
        def _predict(self, frames: tf.Tensor) -> tf.Tensor:
            return self.network(normalize(frames, setup.normalization))

        @tf.function(
            input_signature=[frames_spec, tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)], autograph=False
        )
        def _localize(self, frames: tf.Tensor, threshold: tf.Tensor, radius: tf.Tensor) -> dict[str, tf.Tensor]:
            voxels, confidence, count = find_peaks(
                self._predict(frames), threshold, radius, keep_single_z=learning.keep_single_z
            )
            return self._found(frames, voxels, confidence, count)

    return ExportedNetwork()
