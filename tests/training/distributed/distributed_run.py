"""Five steps of a small network on the devices asked for; a program of its own, because devices are chosen once."""

from __future__ import annotations

import sys

import keras
import numpy as np
import tensorflow as tf

from ds3d_tf.model.layers import ConvolutionBlock, UpsamplingBlock, VoxelOutput, frame_norm
from ds3d_tf.setup import load_setup
from ds3d_tf.training import compile_network, examples
from ds3d_tf.training.distributed.devices import check_batches, distribute, open_devices

STEPS = 5
SETUP = [
    "volume.height_px=14",
    "volume.width_px=16",
    "volume.margin_px=3",
    "volume.depth_voxels=5",
    "emitters.count_range=[1, 4]",
    "learning.batch_size=4",
    "learning.epochs=1",
    "learning.learning_rate=0.0005",
    "learning.schedule=plateau",
    f"training_set.training_count={4 * STEPS}",
    # The last validation batch is half as large.
    "training_set.validation_count=6",
]


class SmallNet(keras.Model):
    """The kinds of layers that LocalizationNet has, once each."""

    def __init__(self, depth_voxels: int) -> None:
        super().__init__()
        self.blocks = [
            frame_norm(),
            ConvolutionBlock(4, seed=1),
            UpsamplingBlock(4, seed=2),
            UpsamplingBlock(4, seed=3),
            VoxelOutput(depth_voxels, 800.0, seed=4),
        ]
        channels = 1
        for block in self.blocks:
            block.build((None, None, None, channels))
            channels = getattr(block, "filters", channels)
        self.built = True

    def call(self, frames, training=False):
        images = frames[..., None]
        for block in self.blocks[:-1]:
            images = block(images, training=training)
        return self.blocks[-1](images)


def trained(choice: str) -> dict[str, np.ndarray]:
    """Return weights after the steps, and the losses and metrics."""
    devices = open_devices(choice)
    setup = load_setup("quickstart_voxel", SETUP)
    check_batches(setup, devices)
    with devices.scope():
        model = SmallNet(setup.volume.depth_voxels)
        compile_network(model, setup)
    distribute(model, devices)
    data = examples(setup, devices=devices)
    history = model.fit(
        data.training,
        steps_per_epoch=data.steps,
        validation_data=data.validation,
        validation_steps=data.validation_steps,
        verbose=0,
    ).history
    values = {f"weight_{index}": value for index, value in enumerate(model.get_weights())}
    return {**values, **{name: np.array(value) for name, value in history.items()}, "devices": np.array(devices.count)}


if __name__ == "__main__":
    if sys.argv[1] == "all":
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    np.savez(sys.argv[2], **trained(sys.argv[1]))
