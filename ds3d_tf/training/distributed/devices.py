"""Where a run trains: on one device, all devices of a machine, or several machines, which share every batch."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import keras

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.shares import WHOLE, Share
from ds3d_tf.training.distributed.workers import SECONDS_TO_WAIT, Workers, read_workers, wait_for_workers

if TYPE_CHECKING:
    import tensorflow as tf

DeviceChoice = Literal["one", "all", "workers"]


@dataclass(frozen=True)
class Devices:
    """The devices of a run, as this process sees them.

    Attributes:
        strategy: the ``tf.distribute.Strategy``; None for a single device.
        workers: all processes of the run; None for one process.
    """

    strategy: Any = None
    workers: Workers | None = None

    @property
    def count(self) -> int:
        """Number of devices of all processes."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @property
    def count_here(self) -> int:
        """Number of devices of this process."""
        return self.count // self.share.count

    @property
    def share(self) -> Share:
        """This process's share of every batch."""
        return Share(self.workers.index, len(self.workers.addresses)) if self.workers else WHOLE

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.workers is None or self.workers.is_chief

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which network and optimizer must be made."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()


ONE_DEVICE = Devices()


def open_devices(choice: DeviceChoice, on_wait: Callable[[Workers], None] = lambda workers: None) -> Devices:
    """Return the chosen devices; must be called before TensorFlow initialises its devices.

    Args:
        choice: "one"; "all" devices of this machine (all GPUs, or else all CPU devices); "workers", all devices of the
            machines that TF_CONFIG names.
        on_wait: called before waiting for the other workers.

    Raises InputError if TF_CONFIG is wrong or a worker does not answer within
    ``$DS3D_SECONDS_TO_WAIT_FOR_WORKERS`` (300).
    """
    if keras.backend.backend() != "tensorflow":
        if choice != "one":
            raise InputError(
                f"{argument('devices')} {choice}: works with TensorFlow only, but KERAS_BACKEND is "
                f"{keras.backend.backend()}"
            )
        import tensorflow as tf

        # The simulation runs on the CPU, so that the GPU's memory is left to the network.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    if choice == "one":
        return ONE_DEVICE
    if choice == "workers":
        workers = read_workers()
        on_wait(workers)
        wait_for_workers(workers, float(os.environ.get("DS3D_SECONDS_TO_WAIT_FOR_WORKERS", SECONDS_TO_WAIT)))
        import tensorflow as tf

        return Devices(tf.distribute.MultiWorkerMirroredStrategy(), workers)
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) == 1:
        return ONE_DEVICE
    return Devices(tf.distribute.MirroredStrategy([device.name for device in found]))


def check_batches(setup: Setup, devices: Devices) -> None:
    """Raise InputError unless the devices can share every batch of a ``Setup`` equally."""
    section, count = setup.training_set, devices.count
    sizes = {"learning.batch_size": setup.learning.batch_size}
    if section.folder is None:
        sizes["training_set.validation_count"] = section.validation_count
        if not section.fresh_each_epoch:
            sizes["training_set.training_count"] = section.training_count
    for name, size in sizes.items():
        if size % count:
            nearest = max(round(size / count), 1) * count
            raise InputError(f"{name}: {size} frames cannot be shared equally by {count} devices; use {nearest}")


def distribute(model: Any, devices: Devices) -> None:
    """Let a compiled network take its steps on all devices, which share the batch; the result is that of one device.

    Batch normalization and loss use the whole batch, and gradients are added up. Keras's own steps do not work on
    several machines. Does nothing for a single device.

    Args:
        model: a LocalizationNet made and compiled within ``devices.scope()``.
        devices: the devices.
    """
    if devices.strategy is None:
        return

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    with devices.scope():
        model.optimizer.build(model.trainable_variables)
    # Everything is built already. Keras would otherwise inspect a first batch, which fails on several machines.
    model._distribute_strategy = None
    model.train_function = _on_all(model.train_step, devices.strategy)
    model.test_function = _on_all(model.test_step, devices.strategy)


def _on_all(step: Callable[[Any], dict[str, Any]], strategy: Any) -> Callable[[Any], dict[str, Any]]:
    """Return what Keras calls for each step: it takes an iterator and returns the metrics."""
    import tensorflow as tf

    def local_step(batch: Any) -> Any:
        # The mean over all devices is the same everywhere, so all workers agree on when to stop.
        logs = step(batch)
        values = tf.stack([tf.cast(logs[name], tf.float32) for name in sorted(logs)])
        replica = tf.distribute.get_replica_context()
        return dict.fromkeys(logs), replica.all_reduce(tf.distribute.ReduceOp.MEAN, values)

    @tf.function(reduce_retracing=True, autograph=False)
    def one_step(batch: Any) -> dict[str, Any]:
        names, values = strategy.run(local_step, args=(batch,))
        values = strategy.experimental_local_results(values)[0]
        return {name: values[place] for place, name in enumerate(sorted(names))}

    return lambda iterator: one_step(next(iterator))


def distributed_batches(batches: tf.data.Dataset, devices: Devices) -> Any:
    """Return this process's batches, split among its devices and repeated without end, as Keras takes them.

    Args:
        batches: this process's share of every batch, each a multiple of the number of its devices.
        devices: the devices, more than one.
    """
    import tensorflow as tf

    here = devices.count_here

    def split(*tensors: tf.Tensor) -> tf.data.Dataset:
        cuts = [tf.reshape(t, tf.concat([[here, tf.shape(t)[0] // here], tf.shape(t)[1:]], 0)) for t in tensors]
        for whole, pieces in zip(tensors, cuts, strict=True):
            pieces.set_shape([here, None, *whole.shape[1:]])
        return tf.data.Dataset.from_tensor_slices(tuple(cuts))

    def pipeline(_: Any) -> Any:
        pieces = batches if here == 1 else batches.flat_map(split)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        # An endless data set spares the workers asking each other at each step whether frames are left.
        return pieces.repeat().prefetch(tf.data.AUTOTUNE).with_options(options)

    return devices.strategy.distribute_datasets_from_function(pipeline)


def steps_of(frames: int, batch_size: int) -> int:
    """Return the number of batches of ``frames`` frames."""
    return math.ceil(frames / batch_size)
