"""What a run writes for TensorBoard, read back record by record."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from ds3d_tf.simulation.voxel_grid import VoxelGrid
from ds3d_tf.training.callbacks.tensorboard import TensorBoardLog

SHAPE = (20, 24)


class Known:
    """A network that is sure of one emitter in the middle of voxel (30, 40, 1)."""

    def __init__(self, depth: int) -> None:
        self.optimizer = type("Optimizer", (), {"learning_rate": 0.25})()
        self.volume = np.zeros((1, 4 * SHAPE[0], 4 * SHAPE[1], depth), np.float32)
        self.volume[0, 30, 40, 1] = 700

    def __call__(self, frames, training: bool):
        return tf.constant(self.volume)


@pytest.fixture(scope="module")
def events(tiny, tmp_path_factory):
    """Events of a run that was resumed after its first epoch: writer → tag → {step: (plugin, value)}."""
    folder = tmp_path_factory.mktemp("logs")
    emitters = np.zeros((1, 2, 4), np.float32)
    voxels = np.array([[[30, 40, 1]]])
    emitters[0, 0] = [*VoxelGrid.from_setup(tiny).positions_um(voxels, SHAPE).numpy()[0, 0], 1]
    batches = tf.data.Dataset.from_tensors((np.random.default_rng(0).uniform(size=(1, *SHAPE)), emitters))
    logs = {"loss": 3.0, "val_loss": 2.0, "val_jaccard": 0.5, "matched_jaccard": 0.75}
    for epochs in ((0,), (1, 2)):
        log = TensorBoardLog(folder, tiny, batches, every_seconds=1e9)
        log.set_model(Known(tiny.volume.depth_voxels))
        log.on_train_begin()
        for epoch in epochs:
            log.on_epoch_end(epoch, {**logs, "loss": 3.0 - epoch})
        log.close()
    found: dict = {}
    for path in sorted(folder.rglob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                content = tf.make_ndarray(value.tensor)
                series = found.setdefault(path.parent.name, {}).setdefault(value.tag, {})
                series[event.step] = (value.metadata.plugin_data.plugin_name, content)
    return found


def test_scalars_of_training_and_validation_share_their_names(events):
    assert {step: float(value) for step, (_, value) in events["training"]["loss"].items()} == {1: 3, 2: 2, 3: 1}
    assert {step: float(value) for step, (_, value) in events["validation"]["loss"].items()} == {1: 2, 2: 2, 3: 2}
    assert float(events["training"]["learning_rate"][3][1]) == 0.25
    for tag, value in (("jaccard", 0.5), ("matched_jaccard", 0.75)):
        kind, found = events["validation"][tag][1]
        assert (kind, float(found)) == ("scalars", value)


def test_images_now_and_then_and_at_the_end(events):
    for tag in ("validation frame", "prediction"):
        series = events["validation"][tag]
        # The first of each call of fit, and the last epoch's; the one between comes too soon.
        assert sorted(series) == [1, 2, 3]
        for kind, (width, height, png) in series.values():
            assert kind == "images"
            assert tf.io.decode_png(png).shape[:2] == (int(height), int(width))


def test_the_setup_is_kept_as_text(events, tiny):
    kind, text = events["training"]["setup"][0]
    assert kind == "text" and f"name: {tiny.name}" in text[0].decode()
