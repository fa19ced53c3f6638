"""The sections of the benchmark, each with a few timings; benchmark/train.py has one more."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.benchmark.timing import ORIGINAL_YARDSTICKS, Sizes, Timing, median_seconds
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.options import BenchmarkOptions
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from ds3d_tf.localization.localizer import Localizer

SEED = 2020
SAME_PLACE_NM = 5.0
BLOBS_A_FRAME = 60


def time_simulation(setup: Setup, sizes: Sizes, yardsticks: dict[str, float]) -> list[Timing]:
    """Time one training example of the setup from the stream, noise and normalization included."""
    from ds3d_tf.simulation.stream import default_renderer, training_dataset

    renderer = default_renderer(setup)

    def draw(count: int) -> None:
        for _ in training_dataset(setup, "training", SEED, limit=count, renderer=renderer):
            pass

    # The difference of two lengths, so that building and tracing the stream do not count.
    short, long = sizes.examples, 3 * sizes.examples
    seconds = median_seconds(lambda: draw(long), sizes.repeats) - median_seconds(lambda: draw(short), sizes.repeats)
    seconds = max(seconds, 0.0) / (long - short)
    yards = seconds / yardsticks["complex128_s"]
    ratios = {"yardsticks": yards, "times faster than the original": ORIGINAL_YARDSTICKS / max(yards, 1e-12)}
    return [Timing("simulate", f"one training example of {setup.name}", seconds, sizes.repeats, ratios)]


def time_loss(setup: Setup, sizes: Sizes) -> list[Timing]:
    """Time the loss and its gradient, and the equivalent plain 7×7×7 convolution, each in a separate process."""
    depth, results = setup.volume.depth_voxels, {}
    for form in ("package", "plain"):
        arguments = [form, sizes.frame_px, depth, sizes.repeats, SEED, setup.learning.scaling_factor]
        done = subprocess.run(
            [sys.executable, "-m", "ds3d_tf.benchmark.loss", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise InputError(
                f"loss: the {form} form failed ({reason}); a smaller {argument('frame_px')} needs less memory"
            )
        results[form] = json.loads(done.stdout.splitlines()[-1])
    ours, plain = results["package"], results["plain"]
    name = f"loss and gradient, {sizes.frame_px}×{sizes.frame_px}, D = {depth}"
    difference = abs(ours["loss"] - plain["loss"]) / abs(plain["loss"])
    return [
        Timing(
            "loss",
            name,
            ours["seconds"],
            sizes.repeats,
            {
                "times faster than plain": plain["seconds"] / ours["seconds"],
                "memory GB": ours["memory_gb"],
                "relative difference of values": difference,
            },
        ),
        Timing("loss", f"{name}, plain form", plain["seconds"], sizes.repeats, {"memory GB": plain["memory_gb"]}),
    ]


def network_gflop(setup: Setup, frame_px: int) -> float:
    """Return the multiplications and additions (10⁹) of one prediction of the network as it is defined."""
    volume, filters = setup.volume, setup.learning.filters
    pixels, depth = frame_px**2, volume.depth_voxels
    taps = 9 * (filters + 5 * (filters + 1) * filters)
    taps += 9 * 4 * (filters + 1) * filters
    taps += 9 * 16 * (filters * filters + filters * depth + 2 * depth * depth) + 16 * depth * depth
    return 2 * taps * pixels / 1e9


def time_localization(
    setup: Setup, sizes: Sizes, yardsticks: dict[str, float], options: BenchmarkOptions
) -> list[Timing]:
    """Time the exported network and whole localizations, in float32 and bfloat16."""
    import tensorflow as tf

    from ds3d_tf.export.saved_model import export_saved_model
    from ds3d_tf.localization.localizer import Localizer
    from ds3d_tf.model.localization_net import LocalizationNet

    model: str | Path | None = options.model
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            model = Path(folder) / "model"
            export_saved_model(LocalizationNet.from_setup(setup), setup, np.zeros((3, 3)), model)
        localizers = {"float32": Localizer(model, memory_gb=math.inf)}
        with contextlib.suppress(InputError):  # the model may not support it
            localizers["bfloat16"] = Localizer(model, memory_gb=math.inf, precision="bfloat16")
    setup = localizers["float32"].setup
    size = max(sizes.frame_px, localizers["float32"].receptive_radius_px)
    image = np.random.default_rng(SEED).uniform(0, 300, (1, size, size)).astype(np.float32)
    raw = tf.constant(image)
    timings: list[Timing] = []
    gflop, limit = network_gflop(setup, size), yardsticks["matmul_float32_gflops"]
    what = f"{size}×{size}, D = {setup.volume.depth_voxels}"
    for precision, localizer in localizers.items():
        seconds = median_seconds(partial(localizer.volume, raw), sizes.repeats)
        ratios = {"GFLOP/s": gflop / seconds, "of the matrix product": gflop / seconds / limit}
        if precision != "float32":
            ratios = {"GFLOP/s": gflop / seconds, "times faster than float32": timings[0].seconds / seconds}
        timings.append(Timing("localize", f"network, {what}, {precision}", seconds, sizes.repeats, ratios))
    for precision, localizer in localizers.items():
        seconds = median_seconds(partial(localizer.localize, image), sizes.repeats)
        timings.append(
            Timing(
                "localize", f"raw frame to µm, {what}, {precision}", seconds, sizes.repeats, {"frames/s": 1 / seconds}
            )
        )
    if options.frames is not None and len(localizers) == 2:
        timings.append(_time_recording(localizers, options.frames, options))
    return timings


def _time_recording(localizers: dict[str, Localizer], frames: str, options: BenchmarkOptions) -> Timing:
    """Time bfloat16 on a recording, and compare its localizations with those of float32."""
    from scipy.spatial import cKDTree

    from ds3d_tf.localization.recording.opening import open_recording

    source, same, total, seconds = open_recording(frames, options), 0, 0, 0.0
    for frame in source:
        expected = localizers["float32"].rows(frame[np.newaxis])[0][:, :3] * 1000
        begin = time.perf_counter()
        found = localizers["bfloat16"].rows(frame[np.newaxis])[0][:, :3] * 1000
        seconds += time.perf_counter() - begin
        total += len(expected)
        if len(found) and len(expected):
            same += int((cKDTree(found).query(expected)[0] <= SAME_PLACE_NM).sum())
    height, width = source.shape
    return Timing(
        "localize",
        f"{len(source)} frames of {height}×{width}, bfloat16, each",
        seconds / len(source),
        1,
        {"localizations": float(total), f"within {SAME_PLACE_NM:g} nm of float32": same / max(total, 1)},
    )


def time_peaks(setup: Setup, sizes: Sizes) -> list[Timing]:
    """Time peak finding in an artificial prediction of blobs, some of which are clipped."""
    import tensorflow as tf

    from ds3d_tf.localization.peaks.peaks import find_peaks

    learning, depth = setup.learning, setup.volume.depth_voxels
    shape = (4 * sizes.peaks_frame_px[0], 4 * sizes.peaks_frame_px[1], depth)
    volume = tf.constant(_prediction(shape, learning.scaling_factor))
    find = tf.function(find_peaks, autograph=False)
    threshold, radius = tf.constant(learning.peak_threshold), tf.constant(learning.peak_radius_voxels)
    count = int(find(volume, threshold, radius, learning.keep_single_z)[2][0])
    seconds = median_seconds(lambda: find(volume, threshold, radius, learning.keep_single_z)[2].numpy(), sizes.repeats)
    height, width = sizes.peaks_frame_px
    return [Timing("peaks", f"peaks of {height}×{width}, D = {depth}", seconds, sizes.repeats, {"peaks": float(count)})]


def _prediction(shape: tuple[int, int, int], highest: float) -> np.ndarray:
    """Return float32 ``[1, R, C, D]`` of Gaussian blobs, confidence, as a network predicts them."""
    rng = np.random.default_rng(SEED)
    volume = np.zeros(shape, np.float32)
    steps = np.arange(-6, 7)
    distance = steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2
    for _ in range(BLOBS_A_FRAME):
        place = [int(rng.integers(0, size)) for size in shape]
        blob = rng.uniform(0.05, 1.5) * highest * np.exp(-distance / 2 / rng.uniform(1, 2) ** 2)
        window = tuple(slice(max(p - 6, 0), p + 7) for p in place)
        inner = tuple(slice(max(6 - p, 0), 6 - p + size) for p, size in zip(place, shape, strict=True))
        volume[window] += blob[inner][tuple(slice(0, edge) for edge in volume[window].shape)]
    return np.minimum(volume, highest).astype(np.float32)[np.newaxis]
