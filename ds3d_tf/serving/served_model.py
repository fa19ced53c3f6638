"""One version of a SavedModel in a server: checks requests against its signatures, and reports errors with codes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.file_names import GRAPH_FILE, NETWORK_FACTS_FILE, SETUP_FILE
from ds3d_tf.common.limits import MAX_FRAME_PX, MAX_RADIUS_VOXELS
from ds3d_tf.localization.engines.saved_model import network_facts
from ds3d_tf.localization.peaks.tiles import bytes_per_pixel, pixels_within, tile_overlap_px
from ds3d_tf.serving.client.errors import sentence
from ds3d_tf.serving.errors import INTERNAL, INVALID_ARGUMENT, RequestError
from ds3d_tf.setup import Setup, load_setup

DEFAULT_SIGNATURE = "serving_default"


class ServedModel:
    """A loaded SavedModel; ``signatures`` are its ``SignatureDef`` messages by name, ``version`` its number."""

    def __init__(self, folder: Path, version: int, memory_gb: float) -> None:
        """Load it and run its warm-up requests.

        ``memory_gb`` limits the memory of requests to signatures that have no limit of their own.
        Raises InputError if it cannot be loaded.
        """
        import tensorflow as tf
        from tensorflow.core.protobuf import saved_model_pb2

        self.folder, self.version = folder, version
        try:
            graphs = saved_model_pb2.SavedModel.FromString((folder / GRAPH_FILE).read_bytes()).meta_graphs
            graph = next(graph for graph in graphs if "serve" in graph.meta_info_def.tags)
            self._model = tf.saved_model.load(str(folder))
        except Exception as error:  # TensorFlow and Protocol Buffers raise many kinds of errors for a damaged file
            raise InputError(f"{folder}: not a SavedModel, or damaged; export the model again") from error
        self.signatures = {name: graph.signature_def[name] for name in self._model.signatures}
        self._memory_gb = memory_gb
        self._setup, self._receptive_radius_px = self._about()
        try:
            self._warm_up()
        except RequestError as error:
            raise InputError(f"{folder}: its warm-up request failed: {error}") from error

    def signature(self, name: str) -> tuple[str, Any]:
        """Return name ("": the default) and ``SignatureDef``; raises RequestError if there is no such signature."""
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise RequestError(INVALID_ARGUMENT, f"no signature {name!r}; this model has {known}")
        return name, self.signatures[name]

    def predict(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], wanted: Iterable[str] = ()
    ) -> dict[str, np.ndarray]:
        """Run a signature.

        Args:
            signature_name: "" means the default.
            inputs: an array for each input, of the signature's shape, dtype and unit; those with defaults are optional.
            wanted: names of the outputs to return; empty: all.

        Returns:
            an array for each output, of the signature's shape and unit.

        Raises RequestError if the request is not valid for the model, or needs too much memory.
        """
        import tensorflow as tf

        name, definition = self.signature(signature_name)
        arrays = self._complete(definition, inputs)
        unknown = sorted(set(wanted) - set(definition.outputs))
        if unknown:
            raise RequestError(
                INVALID_ARGUMENT, f"no output {unknown[0]!r}; {name} has {', '.join(sorted(definition.outputs))}"
            )
        _check_numbers(arrays)
        self._check_memory(name, arrays)
        try:
            result = self._model.signatures[name](**{key: tf.constant(value) for key, value in arrays.items()})
        except tf.errors.OpError as error:
            raise RequestError(error.error_code or INTERNAL, sentence(error.message)) from error
        return {key: value.numpy() for key, value in result.items() if not wanted or key in wanted}

    def _complete(self, definition: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the inputs with defaults added; raises RequestError if they do not match the signature."""
        import tensorflow as tf

        unknown = sorted(set(inputs) - set(definition.inputs))
        if unknown:
            known = ", ".join(sorted(definition.inputs))
            raise RequestError(INVALID_ARGUMENT, f"no input {unknown[0]!r}; the signature has {known}")
        arrays = {}
        for name, info in definition.inputs.items():
            if name in inputs:
                arrays[name] = inputs[name]
            elif name in definition.defaults:
                arrays[name] = tf.make_ndarray(definition.defaults[name])
            else:
                raise RequestError(INVALID_ARGUMENT, f"input {name!r} is missing")
            expected = tf.dtypes.as_dtype(info.dtype)
            # NumPy stores text as objects.
            got = tf.string if arrays[name].dtype.kind in "OSU" else tf.dtypes.as_dtype(arrays[name].dtype)
            if got != expected:
                raise RequestError(INVALID_ARGUMENT, f"{name}: expected {expected.name}, got {got.name}")
            shape = tf.TensorShape(info.tensor_shape)
            if not shape.is_compatible_with(arrays[name].shape):
                sizes = "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"
                raise RequestError(INVALID_ARGUMENT, f"{name}: expected shape {sizes}, got {list(arrays[name].shape)}")
        return arrays

    def _check_memory(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Reject requests that need more memory than allowed; the other signatures have their own limit."""
        if self._setup is None or name not in ("volume", "volume_part", "in_tiles"):
            return
        batch, height, width = arrays["frames"].shape
        if name == "volume_part":
            height, width = (
                min(side, int(edges[1]) - int(edges[0]) + 2 * self._receptive_radius_px)
                for side, edges in ((height, arrays["rows"]), (width, arrays["columns"]))
            )
        if name == "in_tiles":
            radius = max(int(arrays["radius"]), self._setup.learning.peak_radius_voxels)
            around = 2 * tile_overlap_px(self._receptive_radius_px, radius)
            height, width = (
                min(side, int(tile) + around) if tile > 0 else side
                for side, tile in zip((height, width), arrays["tile"], strict=True)
            )
        if batch * height * width > pixels_within(self._memory_gb, self._setup):
            needed = batch * height * width * bytes_per_pixel(self._setup) / 1e9
            raise RequestError(
                INVALID_ARGUMENT,
                f"frames: {batch} of {height}×{width} pixels at a time take {needed:.3g} GB in {name}, more than this "
                f"server's {self._memory_gb:g} GB allow; send fewer or smaller frames, or use {DEFAULT_SIGNATURE}",
            )

    def _about(self) -> tuple[Setup | None, int]:
        with contextlib.suppress(OSError, InputError, ValueError):
            assets = self.folder / "assets"
            setup = load_setup(assets / SETUP_FILE)
            return setup, int(network_facts(assets / NETWORK_FACTS_FILE)["reach_px"])
        return None, 0

    def _warm_up(self) -> None:
        import tensorflow as tf
        from tensorflow_serving.apis import prediction_log_pb2

        from ds3d_tf.export.warmup import WARMUP_FILE

        path = self.folder / WARMUP_FILE
        if not path.is_file():
            return
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            self.predict(request.model_spec.signature_name, inputs)


def _check_numbers(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse options of a prediction that no localization needs, before anything is allocated; raises RequestError."""
    bounds = {"radius": MAX_RADIUS_VOXELS, "tile": 2**20, "rows": 2**20, "columns": 2**20}
    for name, most in bounds.items():
        values = arrays.get(name)
        if values is not None and values.size and (values.min() < -1 or values.max() > most):
            shown = int(values.max() if values.max() > most else values.min())
            raise RequestError(INVALID_ARGUMENT, f"{name}: got {shown}, expected {most} at most (-1: the model's own)")
    threshold = arrays.get("threshold")
    if threshold is not None and threshold.size and not np.isfinite(threshold).all():
        raise RequestError(INVALID_ARGUMENT, "threshold: expected a finite confidence (-1: the model's own)")
    frames = arrays.get("frames")
    if frames is not None and frames.ndim == 3 and max(frames.shape[1:]) > 2 * MAX_FRAME_PX:
        raise RequestError(
            INVALID_ARGUMENT,
            f"frames: {frames.shape[1]}×{frames.shape[2]} pixels, expected {2 * MAX_FRAME_PX} a side at most",
        )
