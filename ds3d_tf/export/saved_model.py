"""A network as a SavedModel: raw counts in, positions in µm out, with no need of this package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ds3d_tf.common.array_text import array_to_text
from ds3d_tf.common.file_names import MASK_FILE, NETWORK_FACTS_FILE, SETUP_FILE
from ds3d_tf.common.files import whole_folder
from ds3d_tf.common.outputs import SAVED_MODEL_FILES, refuse_strangers
from ds3d_tf.export.frame_checks import check_frames
from ds3d_tf.export.fused_network import FusedNetwork
from ds3d_tf.export.pixel_module import FoldedNetwork, pixel_module
from ds3d_tf.export.warmup import write_warmup_request
from ds3d_tf.localization.peaks.graph_tiles import graph_tile_size
from ds3d_tf.localization.peaks.tiled_peaks import localize_in_tiles
from ds3d_tf.localization.peaks.tiles import (
    DEFAULT_MEMORY_GB,
    MAX_FRAMES_A_STEP,
    PIXELS_A_STEP,
    pixels_within,
    tile_overlap_px,
)
from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.model.pixel_net import PixelNet
from ds3d_tf.setup import Setup
from ds3d_tf.setup.camera_files import write_maps
from ds3d_tf.simulation.normalization import normalize
from ds3d_tf.simulation.voxel_grid import VoxelGrid

# For a network whose receptive field is not known: every tile sees the whole frame.
_BEYOND_ANY_FRAME = 2**20


def export_saved_model(model: Any, setup: Setup, mask_rad: np.ndarray, folder: str | Path) -> None:
    """Write a network as a SavedModel with its normalization, peak finding, setup and mask inside.

    Signatures (docs/saved_model.md): ``serving_default``, ``with_options`` and ``in_tiles`` localize, ``volume`` and
    ``volume_part`` return the network's output, ``about`` returns the setup. ``assets/`` holds ``setup.yaml``,
    ``mask.npy`` and ``network.json``; ``assets.extra/`` holds a request that servers run to warm up.

    Args:
        model: a ``PixelNet``, or what maps normalized frames float32 ``[B, H, W]`` to confidences float32
            ``[B, 4H, 4W, D]``, no unit.
        setup: its ``Setup``.
        mask_rad: float64 ``[N, N]`` (rows along y), rad: the phase mask it was trained with.
        folder: folder to write, whole or not at all; an existing SavedModel is replaced.

    Raises:
        InputError: the folder cannot be written, or holds something else.
    """
    folder = Path(folder)
    refuse_strangers(folder, SAVED_MODEL_FILES, "SavedModel")
    own_setup = setup.with_mask(mask_rad, MASK_FILE).with_camera_maps()
    receptive_radius_px = getattr(model, "receptive_radius_px", None)
    network = {
        "network": "pixel" if isinstance(model, PixelNet) else "voxel",
        "reach_px": None if receptive_radius_px is None else int(receptive_radius_px),
        "precisions": _precisions(model),
        # For readers without YAML: what a table in nm needs.
        "pixel_nm": 1000 * setup.optics.pixel_um,
        "z_min_nm": 1000 * setup.volume.z_min_um,
    }
    facts = {
        "setup_yaml": own_setup.to_yaml(),
        "network_json": json.dumps(network, indent=1) + "\n",
        "mask_base64": array_to_text(np.asarray(mask_rad, np.float64)),
    }
    if isinstance(model, PixelNet):
        pixel_network = FoldedNetwork(model)
        texts = {**facts, "weights_sha256": _digest(pixel_network)}
        module = pixel_module(model, setup, texts, pixel_network)
    else:
        module = _module(model, setup, facts)
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
                "about": module.about,
            },
        )
        assets = temporary / "assets"
        assets.mkdir(exist_ok=True)
        (assets / SETUP_FILE).write_text(facts["setup_yaml"], encoding="utf-8")
        np.save(assets / MASK_FILE, np.asarray(mask_rad, np.float64))
        write_maps(assets, own_setup.camera_maps)
        (assets / NETWORK_FACTS_FILE).write_text(facts["network_json"], encoding="utf-8")
        write_warmup_request(temporary, setup, 1 if isinstance(model, PixelNet) else receptive_radius_px or 1)


def _precisions(model: Any) -> list[str]:
    return ["float32", "bfloat16"] if isinstance(model, LocalizationNet) else ["float32"]


class _PlainNetwork(tf.Module):
    """A Keras model as it is."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        # Only the variables: a Keras object would bring its Python-side registry into the file.
        self.weights = [variable.value for variable in model.variables]
        self._call = lambda frames: model(frames, training=False)

    def __call__(self, frames: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
        return tf.cast(self._call(frames), tf.float32)


def _digest(network: tf.Module) -> str:
    digest = hashlib.sha256()
    for weights in network.variables:
        digest.update(np.asarray(weights).tobytes())
    return digest.hexdigest()


def _module(model: Any, setup: Setup, facts: dict[str, str]) -> tf.Module:
    learning, grid = setup.learning, VoxelGrid.from_setup(setup)
    frames_spec = tf.TensorSpec([None, None, None], tf.float32, name="frames")
    own_threshold, own_radius = float(learning.peak_threshold), int(learning.peak_radius_voxels)
    per_pixel = setup.volume.lateral_voxels
    receptive_radius_px = getattr(model, "receptive_radius_px", None) or _BEYOND_ANY_FRAME
    min_px = max(getattr(model, "receptive_radius_px", None) or 1, 1)
    has_bfloat16 = "bfloat16" in _precisions(model)

    network = FusedNetwork(model) if has_bfloat16 else _PlainNetwork(model)
    texts = {**facts, "weights_sha256": _digest(network)}

    class ExportedNetwork(tf.Module):
        """What the SavedModel holds; ``localize`` has optional arguments when called from Python, too."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        @tf.function(input_signature=[frames_spec], autograph=False)
        def volume(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"volume": self.network(normalize(check_frames(frames, min_px), setup.normalization))}

        @tf.function(input_signature=[frames_spec], autograph=False)
        def serving_default(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._within_memory(
                frames, tf.constant(own_threshold, tf.float32), tf.constant(own_radius, tf.int32)
            )

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
            return self._within_memory(frames, threshold, radius)

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
            frames = check_frames(frames, min_px)
            return self._localize(frames, threshold, radius, tile, tf.shape(frames)[0], bfloat16)

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
            first = tf.maximum(tf.stack([rows[0], columns[0]]) - receptive_radius_px, 0)
            normalized = normalize(check_frames(frames, min_px), setup.normalization)
            part = normalized[:, first[0] : rows[1] + receptive_radius_px, first[1] : columns[1] + receptive_radius_px]
            inner = [per_pixel * (edges - corner) for edges, corner in ((rows, first[0]), (columns, first[1]))]
            volume = self._in_precision(
                part,
                bfloat16,
                lambda volume: tf.cast(volume[:, inner[0][0] : inner[0][1], inner[1][0] : inner[1][1]], tf.float32),
            )
            return {"volume": volume}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="ask")], autograph=False)
        def about(self, ask: tf.Tensor) -> dict[str, tf.Tensor]:
            return {name: tf.repeat(text, tf.shape(ask)[0]) for name, text in texts.items()}

        def _within_memory(self, frames: tf.Tensor, threshold: tf.Tensor, radius: tf.Tensor) -> dict[str, tf.Tensor]:
            # No request may exhaust a server: memory stays bounded for any number and size of frames.
            frames = check_frames(frames, min_px)
            shape = tf.shape(frames)
            pixels = tf.maximum(shape[1] * shape[2], 1)
            together = tf.clip_by_value(PIXELS_A_STEP // pixels, 1, MAX_FRAMES_A_STEP)
            # The steps and tiles of a Localizer with this memory, so that positions are equal to the last digit.
            max_pixels = pixels_within(DEFAULT_MEMORY_GB, setup) // tf.minimum(together, shape[0])
            overlap_px = tile_overlap_px(receptive_radius_px, tf.where(radius >= 0, radius, own_radius), per_pixel)
            whole = tf.logical_or(pixels <= max_pixels, receptive_radius_px == _BEYOND_ANY_FRAME)
            tile = tf.cond(
                whole,
                lambda: tf.zeros([2], tf.int32),
                lambda: graph_tile_size(shape[1], shape[2], overlap_px, max_pixels),
            )
            return self._localize(frames, threshold, radius, tile, together, tf.constant(False))

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

        # A separate function, so that network and peak finding are in the file only once.
        @tf.function(
            input_signature=[
                frames_spec,
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([2], tf.int32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([], tf.bool),
            ],
            autograph=False,
        )
        def _localize(
            self,
            frames: tf.Tensor,
            threshold: tf.Tensor,
            radius: tf.Tensor,
            tile: tf.Tensor,
            frames_a_step: tf.Tensor,
            bfloat16: tf.Tensor,
        ) -> dict[str, tf.Tensor]:
            voxels, confidence, count = localize_in_tiles(
                normalize(frames, setup.normalization),
                lambda part, use: self._in_precision(part, bfloat16, use),
                (tile[0], tile[1]),
                receptive_radius_px,
                tf.where(threshold >= 0, threshold, own_threshold),
                tf.where(radius >= 0, radius, own_radius),
                learning.keep_single_z,
                setup.volume.depth_voxels,
                frames_a_step,
                per_pixel,
            )
            return self._found(frames, voxels, confidence, count)

    return ExportedNetwork()
