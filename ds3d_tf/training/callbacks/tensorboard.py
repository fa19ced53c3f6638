"""Logs of a run for TensorBoard: metrics, and plots of how a validation frame is localized."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import summary_pb2

from ds3d_tf.evaluation.plots import plot_examples
from ds3d_tf.evaluation.prediction_plot import plot_prediction
from ds3d_tf.evaluation.truth import FrameTruth
from ds3d_tf.setup import Setup
from ds3d_tf.training.matched_score import NetworkLocalizer, network_localizer

SECONDS_BETWEEN_IMAGES = 20.0
# These get the tag of the training metric without the prefix, so that both are in one plot.
_VALIDATION = "val_"
_OF_VALIDATION = ("matched_jaccard", "rmse_lateral_nm", "rmse_axial_nm")
_SCALAR, _TENSOR, _BLOBS = (
    summary_pb2.DATA_CLASS_SCALAR,
    summary_pb2.DATA_CLASS_TENSOR,
    summary_pb2.DATA_CLASS_BLOB_SEQUENCE,
)


class TensorBoardLog(keras.callbacks.Callback):
    """Writes the scalars of every epoch, and at intervals a validation frame with its overlay and its prediction.

    Writing the files does not need TensorBoard, viewing them does. A resumed run writes into the same folder.

    Args:
        folder: folder in which ``training/`` and ``validation/`` are made.
        setup: the ``Setup``, which is stored as text.
        batches: validation batches: normalized frames float32 ``[B, H, W]``, no unit; emitters float32 ``[B, E, 4]``:
            µm and weight.
        every_seconds: minimum time between two images.
    """

    def __init__(
        self, folder: str | Path, setup: Setup, batches: Any, every_seconds: float = SECONDS_BETWEEN_IMAGES
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.setup = setup
        self.every_seconds = every_seconds
        self._batches = batches
        self._frame: np.ndarray | None = None
        self._truth_um = np.zeros((0, 3))
        self._localize: NetworkLocalizer | None = None
        self._next = 0.0
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the files and store the setup as text."""
        if self._writers:
            return
        self._writers = {
            name: tf.summary.create_file_writer(str(self.folder / name)) for name in ("training", "validation")
        }
        text = "\n".join("    " + line for line in self.setup.to_yaml().splitlines())
        self._write("training", "setup", tf.constant([text]), 0, "text", _TENSOR)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's scalars, and the images if enough time has passed."""
        values = {**(logs or {}), "learning_rate": float(self.model.optimizer.learning_rate)}
        for name, value in values.items():
            validation = name.startswith(_VALIDATION) or name in _OF_VALIDATION
            tag = name.removeprefix(_VALIDATION)
            number = tf.constant(float(value), tf.float32)
            self._write("validation" if validation else "training", tag, number, epoch + 1, "scalars", _SCALAR)
        last = epoch + 1 >= self.setup.learning.epochs
        if last or time.monotonic() >= self._next:
            self._images(epoch + 1)
            self._next = time.monotonic() + self.every_seconds
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _images(self, step: int) -> None:
        if self._frame is None:
            frames, emitters = next(iter(self._batches))
            self._frame = np.asarray(frames)[:1]
            first = np.asarray(emitters)[0]
            self._truth_um = first[first[:, 3] > 0, :3].astype(np.float64)
            self._localize = network_localizer(self.model, self.setup)
        assert self._localize is not None and self._frame is not None
        frame, truth_um = self._frame, self._truth_um
        xyz_um, count = self._localize(tf.constant(frame))
        found_um = np.asarray(xyz_um)[0, : int(count[0])]
        truth = FrameTruth(truth_um, np.ones(len(truth_um)), np.ones(len(truth_um), bool))
        title = f"epoch {step}"
        # Of three frames, the middle one is shown.
        shown = frame if frame.ndim == 3 else frame[..., frame.shape[-1] // 2]
        volume = keras.ops.convert_to_numpy(self.model(frame, training=False))[0]
        for tag, draw in (
            (
                "validation frame",
                lambda path: plot_examples(path, list(shown), [truth], [found_um], self.setup, [title]),
            ),
            ("prediction", lambda path: plot_prediction(path, volume, truth_um, self.setup)),
        ):
            self._write("validation", tag, _encoded(draw), step, "images", _BLOBS)

    def _write(self, writer: str, tag: str, value: tf.Tensor, step: int, plugin: str, kind: int) -> None:
        # The same records as tf.summary.scalar writes, which exists only where TensorBoard is installed.
        data = summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin)
        with self._writers[writer].as_default():
            tf.summary.write(
                tag, value, step=step, metadata=summary_pb2.SummaryMetadata(plugin_data=data, data_class=kind)
            )


def _encoded(draw: Callable[[Path], None]) -> tf.Tensor:
    """Return width, height and bytes of the PNG that ``draw`` writes into a file, as TensorBoard's images have them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        draw(path)
        png = path.read_bytes()
    # Width and height in the PNG's header, big-endian.
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    return tf.constant([str(width).encode(), str(height).encode(), png])
