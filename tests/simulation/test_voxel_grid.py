"""The voxel grid against the written formulas, in NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.voxel_grid import VoxelGrid

PIXEL_UM = 0.11


def grid(convention: str = "pixel_area") -> VoxelGrid:
    return VoxelGrid(PIXEL_UM, 1.0, 5.0, 80, convention)


@pytest.mark.parametrize("shape", [(121, 121), (40, 64), (33, 50)])
@pytest.mark.parametrize(("convention", "offset"), [("pixel_area", 0.5), ("half_pixel_shifted", 0.0)])
def test_voxels_follow_the_formula(shape, convention, offset) -> None:
    rng = np.random.default_rng(1)
    xyz = rng.uniform([-1.5, -1.5, 1.0], [1.5, 1.5, 5.0], (500, 3))
    expected = np.stack(
        [
            np.floor(4 * (xyz[:, 1] / PIXEL_UM + shape[0] // 2 + offset)),
            np.floor(4 * (xyz[:, 0] / PIXEL_UM + shape[1] // 2 + offset)),
            np.floor((xyz[:, 2] - 1.0) / 0.05),
        ],
        axis=-1,
    )
    found = np.asarray(grid(convention).voxels(xyz, shape))
    assert found.dtype == np.int32
    # a position within float32 rounding of a voxel's edge may fall on either side
    assert np.mean(found == expected) > 0.999
    assert np.abs(found - expected).max() <= 1


def test_the_centre_pixel_holds_the_origin() -> None:
    # In the pixel-area convention the four voxels of pixel 60 of 121 are 240 … 243, and x = 0 is their middle.
    edges = np.array([[-0.4999, 0, 2], [-0.2501, 0, 2], [-0.0001, 0, 2], [0.2499, 0, 2], [0.4999, 0, 2]])
    columns = np.asarray(grid().voxels(edges * [PIXEL_UM, PIXEL_UM, 1], (121, 121)))[:, 1]
    np.testing.assert_array_equal(columns, [240, 240, 241, 242, 243])


@pytest.mark.parametrize("convention", ["pixel_area", "half_pixel_shifted"])
@pytest.mark.parametrize("shape", [(121, 121), (40, 64)])
def test_a_voxels_centre_lies_in_it(convention, shape) -> None:
    rng = np.random.default_rng(2)
    voxels = rng.integers([0, 0, 0], [4 * shape[0], 4 * shape[1], 80], (300, 3))
    positions = np.asarray(grid(convention).positions_um(voxels, shape))
    np.testing.assert_array_equal(np.asarray(grid(convention).voxels(positions, shape)), voxels)


def test_conventions_differ_by_half_a_pixel() -> None:
    voxels = np.array([[10, 20, 30]])
    shift = np.asarray(grid("half_pixel_shifted").positions_um(voxels, (64, 64))) - np.asarray(
        grid("pixel_area").positions_um(voxels, (64, 64))
    )
    np.testing.assert_allclose(shift, [[0.055, 0.055, 0.0]], atol=1e-6)


def test_grid_of_a_setup() -> None:
    found = VoxelGrid.from_setup(load_setup("demo2"))
    assert found == VoxelGrid(found.pixel_um, 0.0, 4.0, 121, "half_pixel_shifted")
    assert found.pixel_um == pytest.approx(0.11)
    assert found.depth_um == pytest.approx(4 / 121)


def test_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="pixel_area"):
        VoxelGrid(PIXEL_UM, 0.0, 1.0, 10, "centre")
