"""Coarser voxels: labels at the emitters' own positions, the network's cost, and the exported form."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.export.fused_network import FusedNetwork
from ds3d_tf.localization.in_memory import network_localizer
from ds3d_tf.model import LocalizationNet, VolumeLoss
from ds3d_tf.model.layers import UpsamplingBlock
from ds3d_tf.model.loss import blob_volume, blur_volume
from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.voxel_grid import VoxelGrid

SHAPE = (12, 14)


def coarse_grid(per_pixel: int) -> VoxelGrid:
    return VoxelGrid(0.1, 0.0, 1.0, depth_voxels=10, voxels_per_pixel=per_pixel)


def emitters(count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = rng.uniform([-0.5, -0.4, 0.05, 1], [0.5, 0.4, 0.95, 1], (2, count, 4)).astype(np.float32)
    rows[1, 3:] = 0  # padding
    rows[0, 0, 0] = 9.0  # beyond the frame
    return rows


@pytest.mark.parametrize("per_pixel", [1, 2])
def test_blobs_are_gaussians_around_the_emitters(per_pixel):
    grid, rows = coarse_grid(per_pixel), emitters()
    size = (per_pixel * SHAPE[0], per_pixel * SHAPE[1], 10)
    found = np.asarray(blob_volume(rows, grid, (2, *size)))
    voxels = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)
    centres = np.asarray(grid.positions_um(voxels, SHAPE)).astype(np.float64)
    step = np.array([0.1 / per_pixel, 0.1 / per_pixel, 0.1])
    for frame in range(2):
        expected = np.zeros(size)
        for x, y, z, weight in rows[frame].astype(np.float64):
            if weight and x < 1:
                expected += np.exp(-0.5 * np.sum(((centres - [x, y, z]) / step) ** 2, axis=-1))
        # The kernel ends after three and a half voxels, where 2e-3 is left of it.
        np.testing.assert_allclose(found[frame], expected[3:-3, 3:-3], atol=3e-3)


def test_at_the_centres_of_voxels_blobs_are_the_blurred_labels():
    grid = coarse_grid(2)
    voxels = np.array([[[10, 12, 4], [15, 9, 7]]])
    rows = np.concatenate([np.asarray(grid.positions_um(voxels, SHAPE)), np.ones((1, 2, 1), np.float32)], axis=-1)
    labels = np.zeros((1, 24, 28, 10), np.float32)
    labels[0, 10, 12, 4] = labels[0, 15, 9, 7] = 1
    np.testing.assert_allclose(blob_volume(rows, grid, labels.shape), blur_volume(labels), atol=1e-4)
    volume = 100 * np.random.default_rng(0).random(labels.shape).astype(np.float32)
    both = [float(VolumeLoss(grid, 800.0, blobs)(rows, volume)) for blobs in (False, True)]
    assert both[0] == pytest.approx(both[1], rel=1e-4)


def test_the_best_prediction_tells_the_position_inside_the_voxel():
    """Gradient descent on a volume alone: the centre of mass of what is left tells where the emitter is."""
    grid = coarse_grid(1)
    rows = np.array([[[0.03, -0.02, 0.47, 1]]], np.float32)
    volume = keras.Variable(np.ones((1, 13, 13, 10), np.float32))
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(20.0)
    for _ in range(150):
        with tf.GradientTape() as tape:
            loss = VolumeLoss(grid, 800.0, blobs=True)(rows, tf.nn.relu(volume.value))
        optimizer.apply([tape.gradient(loss, volume.value)], [volume])
    found = np.maximum(volume.numpy()[0], 0)
    places = np.stack(np.meshgrid(*map(np.arange, found.shape), indexing="ij"), axis=-1)
    xyz_um = np.asarray(grid.positions_um(np.average(places.reshape(-1, 3), axis=0, weights=found.ravel()), (13, 13)))
    # A voxel is 100 nm wide.
    np.testing.assert_allclose(xyz_um, rows[0, 0, :3], atol=0.012)


def products_per_pixel(model: LocalizationNet) -> float:
    """Multiplications of the convolutions at the resolution of their outputs."""
    total, fine = 0.0, 1
    for block in [*model.features, *model.upsampling, *model.depth, model.voxels]:
        kernel = block.convolution.kernel.shape
        if isinstance(block, UpsamplingBlock):
            fine *= 2
        total += fine**2 * np.prod(kernel)
    return total


def test_cost():
    four, two, one = (products_per_pixel(LocalizationNet(121, lateral_voxels=lateral)) for lateral in (4, 2, 1))
    assert four == pytest.approx(6.493e6, rel=1e-3)
    assert four / one == pytest.approx(10.6, abs=0.05)
    assert four / two == pytest.approx(3.5, abs=0.05)


@pytest.mark.parametrize("per_pixel", [1, 2])
def test_exported_form_and_positions(per_pixel):
    setup = load_setup(
        "quickstart_voxel",
        [f"volume.lateral_voxels={per_pixel}", "volume.depth_voxels=5", "learning.filters=4"],
    )
    model = LocalizationNet.from_setup(setup)
    rng = np.random.default_rng(0)
    for block in [*model.features, *model.upsampling, *model.depth]:
        for name, low, high in (("gamma", -1, 1), ("beta", -1, 1), ("moving_mean", -1, 1), ("moving_variance", 0.5, 2)):
            weight = getattr(block.norm, name)
            weight.assign(rng.uniform(low, high, weight.shape))
    model.voxels.convolution.bias.assign(rng.uniform(0, 1, 5))
    frames = rng.normal(size=(2, 9, 11)).astype(np.float32)
    volume = np.asarray(model(frames))
    assert volume.shape == (2, 9 * per_pixel, 11 * per_pixel, 5)
    np.testing.assert_allclose(FusedNetwork(model)(frames), volume, rtol=1e-3, atol=1e-4)

    class OneVoxel:
        """Certain of one voxel, whatever the frame."""

        def __call__(self, frames, training=False):
            found = np.zeros((1, 20 * per_pixel, 20 * per_pixel, 5), np.float32)
            found[0, 7 * per_pixel, 13 * per_pixel, 2] = 700
            return keras.ops.convert_to_tensor(found)

    xyz_um, count = network_localizer(OneVoxel(), setup)(np.zeros((1, 20, 20), np.float32))
    assert int(count[0]) == 1
    corner = np.array([13 - 10 - 0.5, 7 - 10 - 0.5]) * setup.optics.pixel_um
    half_voxel = 0.5 * setup.optics.pixel_um / per_pixel
    np.testing.assert_allclose(np.asarray(xyz_um)[0, 0, :2], corner + half_voxel, atol=1e-5)


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="lateral_voxels: expected one of"):
        LocalizationNet(5, lateral_voxels=3)
    with pytest.raises(InputError, match=r"set volume\.grid=pixel_area"):
        load_setup("quickstart_voxel", ["volume.lateral_voxels=2", "volume.grid=half_pixel_shifted"])
