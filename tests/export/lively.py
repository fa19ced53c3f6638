"""A small network with weights that find something, and frames in which it does."""

from __future__ import annotations

from typing import Any

import numpy as np

from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.model.pixel_net import PixelNet
from ds3d_tf.setup import load_setup

SHAPE = (61, 74)


def frames(count: int = 2) -> np.ndarray:
    """Return float32 [count, 61, 74] raw counts; one pixel far from most tiles sets the first frame's range."""
    result = np.random.default_rng(5).uniform(20, 300, (count, *SHAPE)).astype(np.float32)
    result[0, 3, 70] = 4000
    return np.rint(result)


def normalized(raw: np.ndarray, kind: str) -> np.ndarray:
    """Return what the network takes, written down a second time."""
    if kind == "factors":
        return (raw - np.float32(100)) / np.float32(50)
    low, high = raw.min((1, 2), keepdims=True), raw.max((1, 2), keepdims=True)
    return (raw - low) / (high - low)


def lively_network(kind: str) -> tuple[Any, Any]:
    """Return a LocalizationNet of random weights whose output crosses the threshold here and there, and its setup."""
    setup = load_setup(
        "quickstart_voxel",
        [
            f"normalization.kind={kind}",
            "normalization.subtract=100",
            "normalization.divide=50",
            "volume.depth_voxels=5",
            "learning.filters=4",
            "learning.peak_radius_voxels=3",
            "learning.peak_threshold=600",
        ],
    )
    rng = np.random.default_rng(0)
    network = LocalizationNet.from_setup(setup)
    for block in [*network.features, *network.upsampling, *network.depth]:
        size = block.norm.gamma.shape
        block.norm.gamma.assign(rng.normal(1, 0.7, size))
        block.norm.beta.assign(rng.normal(0, 1, size))
        block.norm.moving_mean.assign(rng.normal(0, 1, size))
        block.norm.moving_variance.assign(rng.uniform(0.2, 2, size))
        block.convolution.bias.assign(rng.normal(0, 1, size))
    last = network.voxels.convolution
    last.kernel.assign(rng.normal(0, 150, last.kernel.shape))
    network.voxels.scaling_factor = 1e9
    last.bias.assign(np.full(5, 1e6))
    high, low = np.quantile(network(normalized(frames(), kind)).numpy() - 1e6, [0.9999, 0.995])
    network.voxels.scaling_factor = 800.0
    last.kernel.assign(last.kernel / (high - low) * 700)
    last.bias.assign(np.full(5, 100 - low / (high - low) * 700))
    return network, setup


def lively_pixel_network(kind: str, context_frames: int = 1) -> tuple[Any, Any]:
    """Return a PixelNet of random weights that finds emitters here and there, and its setup."""
    setup = load_setup(
        "quickstart_voxel",
        [
            "learning.network=pixel",
            f"learning.context_frames={context_frames}",
            "emitters.photophysics=blinking",
            "emitters.on_time_frames=2",
            f"normalization.kind={kind}",
            "normalization.subtract=100",
            "normalization.divide=50",
            "learning.filters=4",
        ],
    )
    rng = np.random.default_rng(0)
    network = PixelNet.from_setup(setup)
    for weight in network.weights:
        name = weight.path.rsplit("/", 1)[-1]
        if name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.7, 1.3, weight.shape))
        elif name in ("beta", "moving_mean", "bias"):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    last = network.maps.convolution
    kernel, bias = rng.normal(0, 0.1, last.kernel.shape), last.bias.numpy()
    kernel[..., 0] *= 0.05
    last.kernel.assign(kernel)
    inputs = normalized(frames(), kind)
    probability = network(np.repeat(inputs[..., None], context_frames, -1)).numpy()[..., 0].astype(np.float64)
    high, low = np.quantile(np.log(probability / (1 - probability)), [0.97, 0.8])
    # Three pixels in a hundred are above 0.9, one in five above 0.1.
    slope = 4.4 / (high - low)
    kernel[..., 0] *= slope
    bias[0] = (bias[0] - 6 - low) * slope - 2.2 + 6
    last.kernel.assign(kernel)
    last.bias.assign(bias)
    return network, setup
