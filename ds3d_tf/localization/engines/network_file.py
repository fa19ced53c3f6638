"""Networks as single files for other runtimes, each with a description beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ds3d_tf import __version__
from ds3d_tf.common.arrays import MAX_BYTES, inflate
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.limits import MAX_FRAME_PX
from ds3d_tf.common.texts import load_json
from ds3d_tf.optics.masks import check_mask
from ds3d_tf.setup import Setup

# What the ten maps of a pixel network hold.
MAPS = (
    "probability, x and y (pixels from the pixel's centre), z (-1 to 1 over the depth range), photons (share of the "
    "largest), their four standard deviations, background (share of the largest)"
)
FORMATS = {".tflite": "tflite", ".onnx": "onnx", ".xml": "openvino"}


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """What the description beside a network's file says.

    The network takes ``frames``, float32 ``[B, h, w]`` raw counts, and, if ``needs_range``, ``range``, float32
    ``[B, 2]``: smallest and largest count of the whole frame. It gives the volume, ``[B, 4h, 4w, D]``.

    Attributes:
        path: the network's file.
        setup: the ``Setup`` it was trained with.
        mask_rad: float64 ``[N, N]`` (row, column), its phase mask, rad.
        receptive_radius_px: largest distance, in pixels, at which the network sees.
        weights: what its weights are stored as: "float32", "float16" or "int8".
        tile_px: rows and columns, pixels, of the only input it takes; None: any.
        agreement: metrics of its comparison with the Keras model.
    """

    path: Path
    setup: Setup
    mask_rad: np.ndarray
    receptive_radius_px: int
    weights: str = "float32"
    tile_px: tuple[int, int] | None = None
    agreement: Mapping[str, Any] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """The file's format: "tflite", "onnx" or "openvino"."""
        return FORMATS[self.path.suffix.lower()]

    @property
    def needs_range(self) -> bool:
        """Whether the network asks for the frame's smallest and largest count."""
        return self.setup.normalization.kind == "project_01"

    def fingerprint(self) -> str:
        """Return a checksum of the network's files: equal for equal networks only."""
        digest = hashlib.sha256()
        for path in network_files(self.path):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def write(self) -> None:
        """Write the description beside the network's file, which must be there already."""
        height, width = self.tile_px or ("height", "width")
        batch = 1 if self.tile_px else "batch"
        volume, learning = self.setup.volume, self.setup.learning
        fine = volume.lateral_voxels
        inputs = {"frames": f"float32 [{batch}, {height}, {width}] (row, column), raw counts"}
        if self.needs_range:
            inputs["range"] = f"float32 [{batch}, 2], smallest and largest count of the whole frame"
        mask = np.ascontiguousarray(self.mask_rad, "<f8")
        described = {
            "format": self.format,
            "written_by": f"ds3d-tf {__version__}",
            "weights": self.weights,
            "inputs": inputs,
            "output": f"float32 [{batch}, {fine} × rows, {fine} × columns, {volume.depth_voxels}] "
            f"(row, column, depth voxel), confidence in [0, {learning.scaling_factor:g}]"
            if learning.network == "voxel"
            else f"float32 [{batch}, {height}, {width}, 10] (row, column, map): {MAPS}",
            "reach_px": self.receptive_radius_px,
            "tile_px": self.tile_px,
            "agreement": dict(self.agreement),
            "sha256": self.fingerprint(),
            "setup": yaml.safe_load(self.setup.to_yaml()),
            "mask_rad": {
                "shape": list(mask.shape),
                "zlib_base64_float64": base64.b64encode(zlib.compress(mask.tobytes(), 9)).decode("ascii"),
            },
        }
        text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
        description_file(self.path).write_text(text, encoding="utf-8")


def is_network_file(path: str | Path) -> bool:
    """Return whether the name is that of a network's file of a known format."""
    return Path(path).suffix.lower() in FORMATS


def description_file(path: str | Path) -> Path:
    """Return the name of the description of a network's file: the same with ``.json`` added."""
    path = Path(path)
    return path.with_name(path.name + ".json")


def network_files(path: str | Path) -> list[Path]:
    """Return the files that hold the network itself: OpenVINO keeps its weights in a second one."""
    path = Path(path)
    return [path, path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [path]


def read_network_file(path: str | Path) -> NetworkFile:
    """Return what a network's file and its description say.

    Raises InputError if a file is missing or damaged, or the description is that of another network.
    """
    path = Path(path).expanduser()
    for file in network_files(path):
        if not file.is_file():
            raise InputError(f"{file}: no such file; give a network that `ds3d export` wrote")
    beside = description_file(path)
    if not beside.is_file():
        raise InputError(
            f"{path}: its description {beside.name} is missing; keep the two files together as `ds3d export` wrote them"
        )
    try:
        stored = load_json(beside, "description")
        shape = tuple(stored["mask_rad"]["shape"])
        packed = base64.b64decode(stored["mask_rad"]["zlib_base64_float64"])
        mask_rad = np.frombuffer(inflate(packed, MAX_BYTES, str(beside)), "<f8").reshape(shape).astype(np.float64)
        tile = stored["tile_px"]
        receptive_radius_px, weights, checksum = int(stored["reach_px"]), str(stored["weights"]), str(stored["sha256"])
        tile_px = None if tile is None else (int(tile[0]), int(tile[1]))
        values, agreement = dict(stored["setup"]), dict(stored["agreement"])
    except InputError as error:
        reason = error.marked.removeprefix(f"{beside}: ")
        raise InputError(f"{beside}: damaged ({reason}); export the network again") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(f"{beside}: damaged; export the network again") from error
    check_mask(mask_rad, beside)
    if not 0 <= receptive_radius_px <= MAX_FRAME_PX or (tile_px is not None and min(tile_px) < 1):
        raise InputError(f"{beside}: damaged; export the network again")
    setup = Setup.create(values, where=str(beside), mask_rad=mask_rad)
    network = NetworkFile(path, setup, mask_rad, receptive_radius_px, weights, tile_px, agreement)
    if network.fingerprint() != checksum:
        raise InputError(f"{path}: damaged, or not the network that {beside.name} describes; export it again")
    return network
