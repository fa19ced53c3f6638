"""Networks, loss and metric are pure Keras: they give the same numbers on every backend, without TensorFlow."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

# Saves the loss, the metric and a prediction of each network.
CODE = """
import sys
import numpy as np
from keras import ops
from ds3d_tf.model import EmitterLoss, LocalizationNet, OpticsDesignNet, PixelJaccard, PixelNet
from ds3d_tf.model import VolumeJaccard, VolumeLoss
from ds3d_tf.simulation.pixel_grid import PixelGrid
from ds3d_tf.simulation.voxel_grid import VoxelGrid

rng = np.random.default_rng(0)
grid = VoxelGrid(0.11, 0.0, 2.0, 5)
emitters = np.array([[[0, 0, 0.5, 1], [0.01, 0, 0.5, 1]], [[0.2, -0.2, 1.9, 1], [9, 0, 1, 1]]], np.float32)
volume = (100 * rng.random((2, 28, 24, 5))).astype(np.float32)
frames = rng.normal(size=(2, 7, 6)).astype(np.float32)
metric = VolumeJaccard(grid, 800.0)
metric.update_state(emitters, volume)
design = OpticsDesignNet(5, filters=3, seed=1)
net = LocalizationNet(5, filters=3, max_dilation=4, seed=1)
pixel = PixelNet((3, 4, 5), context_frames=3, seed=1)
pixel_grid = PixelGrid(0.11, 0.0, 2.0, 1000.0, 10.0)
light = np.array([[[500, 5], [600, 4]], [[800, 3], [0, -1]]], np.float32)
pixel_emitters = np.concatenate([emitters, light], axis=-1)
for model in (net, design, pixel):
    for weight in model.weights:
        if len(weight.shape) == 4:
            value = np.random.default_rng(weight.shape[-1]).normal(size=weight.shape)
            weight.assign((value / np.sqrt(np.prod(weight.shape[:-1]))).astype(np.float32))
maps = pixel(rng.normal(size=(2, 7, 6, 3)).astype(np.float32))
pixel_metric = PixelJaccard(pixel_grid)
pixel_metric.update_state(pixel_emitters, maps)
results = [VolumeLoss(grid, 800.0)(emitters, volume), metric.result(), net(frames), design(frames)]
results += [maps, EmitterLoss(pixel_grid)(pixel_emitters, maps), pixel_metric.result()]
results = [ops.convert_to_numpy(result) for result in results]
np.savez(sys.argv[1], *results)
assert sys.argv[2] == "tensorflow" or "tensorflow" not in sys.modules, "TensorFlow was imported"
"""


def results(backend: str, folder) -> list[np.ndarray]:
    path = folder / f"{backend}.npz"
    subprocess.run(
        [sys.executable, "-c", CODE, str(path), backend],
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        timeout=300,
    )
    arrays = np.load(path)
    return [arrays[name] for name in arrays.files]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_numbers_on_another_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    for ours, theirs in zip(results("tensorflow", tmp_path), results(backend, tmp_path), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours).max() > 0
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4 * np.abs(ours).max())
