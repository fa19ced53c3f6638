"""Tiles: their size, and that nothing about the result tells that there were any."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.common import InputError
from ds3d_tf.export.saved_model import export_saved_model
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.localization.peaks.tiles import tile_size
from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.setup import load_setup

SHAPE = (61, 74)


@pytest.mark.parametrize("max_pixels", [900, 2500, 20_000, 61 * 74])
@pytest.mark.parametrize("overlap", [3, 7])
def test_tiles_fit_and_cover(max_pixels, overlap):
    rows, columns = tile_size(SHAPE, overlap, max_pixels)
    covered = np.zeros(SHAPE, int)
    for top in range(0, SHAPE[0], rows):
        for left in range(0, SHAPE[1], columns):
            covered[top : top + rows, left : left + columns] += 1
            tall = min(top + rows + overlap, SHAPE[0]) - max(top - overlap, 0)
            wide = min(left + columns + overlap, SHAPE[1]) - max(left - overlap, 0)
            assert tall * wide <= max_pixels
    assert (covered == 1).all()
    assert ((rows, columns) == SHAPE) == (max_pixels >= SHAPE[0] * SHAPE[1])


def test_the_cheapest_tiles_are_taken():
    # Two halves beside each other share the shorter border.
    assert tile_size((100, 300), 10, 20_000) == (100, 150)
    assert tile_size((300, 100), 10, 20_000) == (150, 100)
    assert tile_size((100, 100), 30, 500) is None


@pytest.fixture(scope="module")
def frames():
    return frames_with_a_bright_pixel()


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A network with lively random weights whose clip leaves plateaus; the frame's range normalizes it."""
    rng = np.random.default_rng(0)
    setup = load_setup(
        "quickstart_voxel",
        [
            "normalization.kind=project_01",
            "volume.depth_voxels=5",
            "learning.filters=4",
            "learning.peak_radius_voxels=3",
            "learning.peak_threshold=100",
        ],
    )
    network = LocalizationNet.from_setup(setup)
    for block in [*network.features, *network.upsampling, *network.depth]:
        size = block.norm.gamma.shape
        block.norm.gamma.assign(rng.normal(1, 0.7, size))
        block.norm.beta.assign(rng.normal(0, 1, size))
        block.norm.moving_mean.assign(rng.normal(0, 1, size))
        block.norm.moving_variance.assign(rng.uniform(0.2, 2, size))
        block.convolution.bias.assign(rng.normal(0, 1, size))
    assert any(np.any(block.norm.gamma.numpy() < 0) for block in network.upsampling)
    assert np.any(network.depth[0].norm.gamma.numpy() < 0) or np.any(network.depth[1].norm.gamma.numpy() < 0)
    network.frame_norm.gamma.assign([3.0])
    kernel = network.voxels.convolution.kernel
    kernel.assign(rng.normal(0, 150, kernel.shape))
    # A few of the highest voxels are clipped, most lie below the threshold.
    frames = frames_with_a_bright_pixel()
    normalized = (frames - frames.min((1, 2), keepdims=True)) / np.ptp(frames, (1, 2), keepdims=True)
    network.scaling_factor = network.voxels.scaling_factor = 1e9
    network.voxels.convolution.bias.assign(np.full(5, 1e6))
    high, low = np.quantile(network(normalized).numpy() - 1e6, [0.999, 0.7])
    network.scaling_factor = network.voxels.scaling_factor = 800.0
    kernel.assign(kernel / (high - low) * 700)
    network.voxels.convolution.bias.assign(np.full(5, 100 - low / (high - low) * 700))
    folder = tmp_path_factory.mktemp("dense") / "model"
    export_saved_model(network, setup, np.zeros((101, 101)), folder)
    return network, folder


def frames_with_a_bright_pixel():
    frames = np.random.default_rng(5).uniform(20, 300, (2, *SHAPE)).astype(np.float32)
    frames[0, 3, 70] = 4000  # far from most tiles, but it sets the frame's range
    return frames


def test_the_exported_network_is_the_trained_one(dense, frames):
    """Batch normalizations folded into convolutions change nothing, at the borders neither."""
    network, folder = dense
    low, high = frames.min((1, 2), keepdims=True), frames.max((1, 2), keepdims=True)
    expected = network((frames - low) / (high - low), training=False).numpy()
    assert 1e-4 < (expected == 800).mean() < 0.01 and 0.1 < (expected == 0).mean() < 0.9
    found = Localizer(folder).volume(frames)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_volumes_of_parts_are_parts_of_the_volume(dense, frames):
    localizer = Localizer(dense[1])
    whole = localizer.volume(frames)
    for rows, columns in [((0, 20), (0, 30)), ((20, 61), (30, 74)), ((25, 33), (30, 31)), ((0, 61), (73, 74))]:
        part = localizer.volume(frames, rows, columns)
        expected = whole[:, 4 * rows[0] : 4 * rows[1], 4 * columns[0] : 4 * columns[1]]
        np.testing.assert_allclose(part, expected, atol=1e-3)


@pytest.mark.parametrize("tile", [(61, 37), (20, 30), (8, 8), (61, 9), (100, 100)])
def test_peaks_are_those_of_the_whole_frame(dense, frames, tile):
    """Peaks, plateaus across borders included, and their order."""
    model = tf.saved_model.load(str(dense[1]))
    whole = model.signatures["with_options"](frames=frames, threshold=tf.constant(-1.0), radius=tf.constant(-1))
    assert whole["count"].numpy().min() > 40
    assert (whole["confidence"].numpy() == 800).sum() > 20
    tiled = model.signatures["in_tiles"](
        frames=frames,
        threshold=tf.constant(-1.0),
        radius=tf.constant(-1),
        tile=tf.constant(tile),
        bfloat16=tf.constant(False),
    )
    np.testing.assert_array_equal(tiled["count"], whole["count"])
    np.testing.assert_allclose(tiled["xyz_um"], whole["xyz_um"], atol=1e-5)
    np.testing.assert_allclose(tiled["confidence"], whole["confidence"], atol=1e-3)


def test_memory_says_the_tiles(dense, frames):
    localizer = Localizer(dense[1])
    assert localizer.tile_size(SHAPE) == (0, 0)
    whole = localizer.rows(frames)
    little = Localizer(dense[1], memory_gb=localizer.needed_gb(SHAPE, 2) - 0.5e-3)
    rows, columns = little.tile_size(SHAPE, 2)
    assert rows * columns < SHAPE[0] * SHAPE[1]
    for a, b in zip(little.rows(frames), whole, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    with pytest.raises(InputError, match=r"memory_gb 0.5: too little; the smallest tiles of this model need 1\.2 GB"):
        Localizer(dense[1], memory_gb=0.5).rows(frames)


def test_bfloat16_is_an_option_of_models_that_have_it(dense, frames, model_folder):
    single, half = Localizer(dense[1]), Localizer(dense[1], precision="bfloat16")
    a, b = np.asarray(single.volume(frames)), np.asarray(half.volume(frames))
    difference = np.abs(a - b).mean()
    assert 0.01 < difference < 0.02 * a.mean()
    assert len(half.rows(frames)) == 2
    with pytest.raises(InputError, match=r"precision bfloat16: .* exported with float32 only"):
        Localizer(model_folder, precision="bfloat16")


def test_the_process_stays_within_its_memory(tmp_path):
    """A network of full size on a frame that needs tiles: the most memory the process ever held."""
    program = textwrap.dedent(
        """
        import sys
        import numpy as np
        from ds3d_tf.common.machine import peak_memory_gb
        from ds3d_tf.localization.localizer import Localizer
        localizer = Localizer(sys.argv[1], memory_gb=1.4)
        frames = np.random.default_rng(0).uniform(0, 300, (1, 120, 160)).astype(np.float32)
        assert localizer.needed_gb((120, 160)) > 1.4
        localizer.rows(frames)
        print(localizer.tile_size((120, 160)), peak_memory_gb())
        """
    )
    setup = load_setup("demo2")
    export_saved_model(LocalizationNet.from_setup(setup), setup, np.zeros((203, 203)), tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model")], capture_output=True, text=True, check=True
    )
    assert 0.9 < float(done.stdout.split()[-1]) <= 1.4
