"""A SavedModel of this package: localizes in its own graph, in tiles if asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.arrays import read_npy
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.file_names import GRAPH_FILE, MASK_FILE, NETWORK_FACTS_FILE, SAVED_MODEL_FOLDER, SETUP_FILE
from ds3d_tf.common.limits import MAX_FRAME_PX
from ds3d_tf.common.shipped import find_model
from ds3d_tf.common.texts import checked_fields, load_json
from ds3d_tf.common.versions import highest_version
from ds3d_tf.setup import Setup, load_setup

if TYPE_CHECKING:
    import tensorflow as tf


class SavedModelEngine:
    """An Engine that is a SavedModel."""

    size_px: tuple[int, int] | None = None

    def __init__(self, model_dir: str | Path, precision: str = "float32") -> None:
        """Load the model.

        Args:
            model_dir: a SavedModel, a run folder that holds one as ``saved_model/``, or a folder of numbered
                versions, of which the highest is taken.
            precision: "float32", or "bfloat16" for processors that are faster at it.

        Raises InputError if the folder holds no such model, or it has no such precision.
        """
        self.path = find_saved_model(model_dir)
        assets = self.path / "assets"
        self.setup = _read_setup(assets / SETUP_FILE)
        self.mask_rad: np.ndarray = _mask(assets / MASK_FILE)
        facts = network_facts(assets / NETWORK_FACTS_FILE)
        self.receptive_radius_px: int = facts["reach_px"]
        self.precision = precision
        precisions = facts["precisions"]
        if precision not in precisions:
            raise InputError(
                f"{argument('precision')} {precision}: {self.path} was exported with {' and '.join(precisions)} only"
                + ("; export it again with this version" if precision == "bfloat16" else "")
            )
        import tensorflow as tf

        self._model = _load(lambda: tf.saved_model.load(str(self.path)), self.path / GRAPH_FILE)
        missing = {"serving_default", "volume", "with_options"} - set(self._model.signatures)
        if missing:
            raise InputError(
                f"{self.path}: a SavedModel that another program wrote (signature {min(missing)!r} is missing); "
                "export it again with this package"
            )

        _check_depth(self._model, self.setup, self.path)

    @property
    def has_tiles(self) -> bool:
        """Whether it was exported with tiles."""
        return "in_tiles" in self._model.signatures

    def fingerprint(self) -> str:
        """Return a checksum of the graph and the weights: equal for equal models only."""
        digest = hashlib.sha256()
        for path in sorted([self.path / GRAPH_FILE, *(self.path / "variables").glob("*")]):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def localize(
        self,
        frames: Any,
        threshold: float | None,
        radius_voxels: int | None,
        tile: tuple[int, int],
        context: tuple[int, int] = (0, 0),
    ) -> tuple[np.ndarray, ...]:
        """Return the emitters in each frame.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            threshold: smallest confidence, exclusive; None: the model's default.
            radius_voxels: radius of a peak, voxels; None: the model's default.
            tile: rows and columns, pixels, that are localized at a time; 0 for all.
            context: how many frames (0 or 1) at the beginning and at the end are only neighbours of the others.

        Returns:
            positions float32 ``[B, K, 3]`` (x, y, z), µm; confidence float32 ``[B, K]``; count int32 ``[B]``; of a
            pixel network also details float32 ``[B, K, 6]``: photons, background, σ of x, y, z in µm, σ of the photons.
        """
        import tensorflow as tf

        from ds3d_tf.localization.peaks.pixel_peaks import details_of_names

        options = {
            "threshold": tf.constant(-1.0 if threshold is None else threshold, tf.float32),
            "radius": tf.constant(-1 if radius_voxels is None else radius_voxels, tf.int32),
        }
        if self.has_tiles:
            options["tile"] = tf.constant(tile, tf.int32)
            options["bfloat16"] = tf.constant(self.precision == "bfloat16")
        if self.setup.learning.network == "pixel":
            options["context"] = tf.constant(context, tf.int32)
        result = self._model.signatures["in_tiles" if self.has_tiles else "with_options"](frames=frames, **options)
        found = tuple(result[name].numpy() for name in ("xyz_um", "confidence", "count"))
        return found if self.setup.learning.network == "voxel" else (*found, details_of_names(result))

    def volume(self, frames: Any, rows: tuple[int, int] | None, columns: tuple[int, int] | None) -> tf.Tensor:
        """Return the network's output for whole frames, or a part of that output.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            rows: first and last (exclusive) row of the part, pixels; None: all.
            columns: first and last (exclusive) column of the part, pixels; None: all.

        Returns:
            float32 ``[B, 4H, 4W, D]`` (row, column, depth; H and W of the part), confidence.

        Raises InputError if the model was exported without tiles and a part is asked for.
        """
        import tensorflow as tf

        if rows is None and columns is None and self.precision == "float32":
            return self._model.signatures["volume"](frames=frames)["volume"]
        if not self.has_tiles:
            raise InputError(f"{self.path} was exported without tiles; export it again with this version")
        return self._model.signatures["volume_part"](
            frames=frames,
            rows=tf.constant(rows or (0, frames.shape[1]), tf.int32),
            columns=tf.constant(columns or (0, frames.shape[2]), tf.int32),
            bfloat16=tf.constant(self.precision == "bfloat16"),
        )["volume"]


def find_saved_model(model_dir: str | Path) -> Path:
    """Return the folder of the SavedModel: ``model_dir``, its ``saved_model/``, or its highest numbered version.

    Raises InputError if there is none.
    """
    folder = find_model(model_dir)
    if not folder.exists():
        raise InputError(
            f"{model_dir}: no such model folder; give the folder that `ds3d train` or `ds3d import-weights` wrote"
        )
    if not folder.is_dir():
        raise InputError(
            f"{model_dir}: this is a file, not a model folder; give the folder that holds {GRAPH_FILE}, "
            "or a .tflite, .onnx or .xml file"
        )
    for candidate in (folder, folder / SAVED_MODEL_FOLDER):
        if (candidate / GRAPH_FILE).is_file():
            return candidate
        version = highest_version(candidate, GRAPH_FILE)
        if version is not None:
            return version
    raise InputError(
        f"{model_dir}: not a model folder (no {GRAPH_FILE} in it, in saved_model/ or in a numbered version)"
    )


def network_facts(path: str | Path) -> dict[str, Any]:
    """Return what a SavedModel's ``network.json`` says, of which ``reach_px`` and ``precisions`` are checked.

    Raises InputError if the file is missing or damaged.
    """
    facts = load_json(path, "description of the network")
    facts = {"reach_px": None, "precisions": ["float32"], **facts} if isinstance(facts, dict) else facts
    mend = "export the model again"
    facts = checked_fields(facts, {"reach_px": (int, type(None)), "precisions": list}, str(path), mend)
    if not 0 <= (facts["reach_px"] or 0) <= MAX_FRAME_PX or not all(isinstance(p, str) for p in facts["precisions"]):
        raise InputError(f"{path}: damaged; {mend}")
    return {**facts, "reach_px": facts["reach_px"] or 0}


def _check_depth(model: Any, setup: Setup, path: Path) -> None:
    """Refuse a setup that is another network's: its depth is part of the graph; a pixel network has ten maps."""
    from ds3d_tf.model.pixel_layers import CHANNELS

    volume = model.signatures["volume"].structured_outputs.get("volume")
    depth = None if volume is None or volume.shape.rank is None else volume.shape[-1]
    pixel = setup.learning.network == "pixel"
    if depth is not None and pixel and depth != CHANNELS:
        raise InputError(
            f"{path / 'assets' / SETUP_FILE}: learning.network is pixel, but the network is a voxel network: the setup "
            "of another model; export the model again"
        )
    if depth is not None and not pixel and depth != setup.volume.depth_voxels:
        raise InputError(
            f"{path / 'assets' / SETUP_FILE}: volume.depth_voxels is {setup.volume.depth_voxels}, but the network has "
            f"{depth}: the setup of another model; export the model again"
        )


def _mask(path: Path) -> np.ndarray:
    """Return the mask as it is stored: one of a shape that cannot be refined with is no obstacle to localizing."""
    mask_rad = read_npy(path, mend="export the model again")
    if mask_rad.dtype.kind not in "fiu" or not np.isfinite(mask_rad).all():
        raise InputError(f"{path}: damaged: not finite numbers; export the model again")
    return mask_rad


def _read_setup(path: Path) -> Setup:
    if not path.is_file():
        raise InputError(f"{path}: missing; this SavedModel is incomplete, or another program wrote it")
    return load_setup(path)


def _load(action: Callable[[], Any], path: Path) -> Any:
    try:
        return action()
    except Exception as error:  # TensorFlow, NumPy and JSON raise many kinds of errors for a damaged file
        raise InputError(f"{path}: missing or damaged; export the model again") from error
