"""The benchmark of training: a step in each precision, an equivalent plain step, and a step fed by the stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ds3d_tf.benchmark.plain_loss import plain_loss
from ds3d_tf.benchmark.sections import SEED, time_simulation
from ds3d_tf.benchmark.timing import Sizes, Timing, median_seconds
from ds3d_tf.setup import Setup

# A step of the original at demo 1's size, batch 1, takes 38 s on two cores with 100 GFLOP/s in float32.
ORIGINAL_STEP_GFLOP = 38.0 * 100.0
ORIGINAL_SIZE, ORIGINAL_DEPTH, ORIGINAL_FILTERS = 121, 121, 64


def time_training(setup: Setup, sizes: Sizes, yardsticks: dict[str, float]) -> list[Timing]:
    """Time training steps (forward, loss, backward, Adam) of ``sizes.batch`` frames, without and with their stream."""
    setup = sized(setup, sizes)
    batch = _first_batch(setup)
    depth, name = (
        setup.volume.depth_voxels,
        f"{sizes.batch} × {sizes.frame_px}×{sizes.frame_px}, D = {setup.volume.depth_voxels}",
    )
    like_original = (sizes.frame_px, depth, setup.learning.filters, sizes.batch) == (
        ORIGINAL_SIZE,
        ORIGINAL_DEPTH,
        ORIGINAL_FILTERS,
        1,
    )
    timings: list[Timing] = []
    plain_seconds, plain_value = _time_step(_plain_step(setup, batch), sizes.repeats)
    for precision in ("float32", "mixed_bfloat16"):
        step = _package_step(setup.replace({"learning.precision": precision}), batch)
        seconds, value = _time_step(step, sizes.repeats)
        ratios = {"times faster than plain": plain_seconds / seconds}
        if like_original:
            original_seconds = ORIGINAL_STEP_GFLOP / yardsticks["matmul_float32_gflops"]
            ratios["times faster than the original"] = original_seconds / seconds
        ratios["relative difference of losses"] = abs(value - plain_value) / abs(plain_value)
        timings.append(Timing("train", f"step of {name}, {precision}", seconds, sizes.repeats, ratios))
    timings.append(Timing("train", f"step of {name}, plain form", plain_seconds, sizes.repeats))
    stream = time_simulation(setup, dataclasses.replace(sizes, repeats=1), yardsticks)[0].seconds
    timings.append(_time_fed_steps(setup, sizes, stream))
    return timings


def sized(setup: Setup, sizes: Sizes) -> Setup:
    """Return the setup with frames and batches of the given sizes."""
    margin = min(setup.volume.margin_px, (sizes.frame_px - 1) // 4)
    changes: dict[str, Any] = {
        "volume.height_px": sizes.frame_px,
        "volume.width_px": sizes.frame_px,
        "volume.margin_px": margin,
        "learning.batch_size": sizes.batch,
        "learning.precision": "float32",
        "training_set.folder": None,
    }
    return setup.replace(changes)


def _first_batch(setup: Setup) -> tuple[Any, Any]:
    from ds3d_tf.simulation.stream import training_dataset

    return next(iter(training_dataset(setup, "training", SEED, limit=setup.learning.batch_size)))


def _time_step(step: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Return the median time, seconds, and the loss of the first step."""
    value = step()
    return median_seconds(step, repeats), value


def _package_step(setup: Setup, batch: tuple[Any, Any]) -> Callable[[], float]:
    from ds3d_tf.model import LocalizationNet
    from ds3d_tf.training import compile_network

    model = LocalizationNet.from_setup(setup)
    compile_network(model, setup)
    return _stepping(model, batch)


def _plain_step(setup: Setup, batch: tuple[Any, Any]) -> Callable[[], float]:
    """Return a step of the network as it is defined: label volumes, repeated pixels, 7×7×7 convolutions."""
    import keras
    from keras import ops

    from ds3d_tf.model import LocalizationNet
    from ds3d_tf.model.labels import label_volume
    from ds3d_tf.simulation.voxel_grid import VoxelGrid

    scale = setup.learning.scaling_factor
    model = LocalizationNet.from_setup(setup)

    def doubled(block: Any) -> Callable[[Any], Any]:
        return lambda images: block.convolution(ops.repeat(ops.repeat(images, 2, axis=1), 2, axis=2))

    for block in model.upsampling:
        setattr(block, "convolve", doubled(block))  # noqa: B010
    model.compile(
        optimizer=keras.optimizers.Adam(setup.learning.learning_rate),
        loss=lambda labels, prediction: plain_loss(labels, prediction, scale),
        jit_compile=False,
    )
    frames, emitters = batch
    shape = model.compute_output_shape(tuple(frames.shape))
    return _stepping(model, (frames, label_volume(emitters, VoxelGrid.from_setup(setup), shape)))


def _stepping(model: Any, batch: tuple[Any, Any]) -> Callable[[], float]:
    model.make_train_function()
    return lambda: float(model.train_function(iter((batch,)))["loss"])


def _time_fed_steps(setup: Setup, sizes: Sizes, stream_seconds: float) -> Timing:
    """Time steps that take their frames from the stream; ``stream_seconds`` is the time of a frame without training."""
    from ds3d_tf.model import LocalizationNet
    from ds3d_tf.simulation.stream import training_dataset
    from ds3d_tf.training import compile_network
    from ds3d_tf.training.callbacks.clock import StepClock

    steps = sizes.repeats + 1
    model, clock = LocalizationNet.from_setup(setup), StepClock()
    compile_network(model, setup)
    batches = training_dataset(setup, "training", SEED, limit=steps * setup.learning.batch_size)
    with clock.watching(model):
        history = model.fit(batches, steps_per_epoch=steps, callbacks=[clock], verbose=0).history
    rate = history["steps_per_s"][0]
    ratios = {
        "steps/s": rate,
        "frames/s": rate * setup.learning.batch_size,
        "frames/s of the stream alone": 1 / max(stream_seconds, 1e-12),
        "share of time waiting for data": history["data_wait"][0],
    }
    size = f"{setup.learning.batch_size} × {sizes.frame_px}×{sizes.frame_px}"
    return Timing("train", f"step of {size}, float32, with its stream", 1 / rate, sizes.repeats, ratios)
