"""`ds3d benchmark` in small: every part, its table and its JSON."""

import json

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.benchmark.plain_loss import plain_loss
from ds3d_tf.benchmark.sections import network_gflop
from ds3d_tf.common import InputError
from ds3d_tf.jobs.benchmark import PARTS, benchmark
from ds3d_tf.model.labels import label_volume
from ds3d_tf.model.loss import VolumeLoss
from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.voxel_grid import VoxelGrid

SMALL = {"frame_px": 12, "peaks_frame_px": (12, 12), "examples": 8, "repeats": 1}


@pytest.mark.slow
def test_the_command_measures_every_part(ds3d, tmp_path):
    arguments = "all --setup quickstart_voxel --size 12 --peaks-size 12 12 --examples 8 --repeats 1 --molecules 2000"
    changes = ["--set", "volume.depth_voxels=5", "--set", "learning.filters=4"]
    done = ds3d("benchmark", *arguments.split(), *changes, "--out", tmp_path / "b.json")
    assert done.returncode == 0, done.stderr
    assert "times faster than plain" in done.stdout and "peaks of 12×12" in done.stdout
    result = json.loads((tmp_path / "b.json").read_text())
    assert {timing["part"] for timing in result["timings"]} == set(PARTS)
    assert all(timing["seconds"] >= 0 for timing in result["timings"])
    assert result["machine"]["versions"]["tensorflow"] == tf.__version__
    assert result["yardsticks"]["complex128_s"] > 0 and result["yardsticks"]["matmul_float32_gflops"] > 1
    loss = next(timing for timing in result["timings"] if timing["part"] == "loss")
    assert loss["ratios"]["relative difference of values"] < 1e-5


def test_the_plain_loss_is_the_losss_definition():
    rng = np.random.default_rng(0)
    grid = VoxelGrid(0.11, 0.0, 4.0, 9)
    emitters = rng.uniform([-0.4, -0.4, 0, 1], [0.4, 0.4, 4, 1], (2, 6, 4)).astype(np.float32)
    prediction = rng.uniform(0, 20, (2, 48, 48, 9)).astype(np.float32)
    labels = label_volume(tf.constant(emitters), grid, prediction.shape)
    plain = plain_loss(labels, tf.constant(prediction), 800.0)
    np.testing.assert_allclose(plain, VolumeLoss(grid, 800.0)(emitters, prediction), rtol=1e-5)


def test_the_networks_work_is_counted():
    """By hand for 121 depth voxels: 5.6 + 4.4 + 17.3 + 32.6 + 123.5 + 6.9 GFLOP."""
    assert network_gflop(load_setup("demo2"), 121) == pytest.approx(190.3, abs=0.3)


def test_mistakes(tmp_path):
    setup = load_setup("quickstart_voxel")
    with pytest.raises(InputError, match=r"speed: no such part; expected simulate, loss, .*, render or all"):
        benchmark(["speed"], setup, **SMALL)
    (tmp_path / "b.json").write_text("old")
    with pytest.raises(InputError, match="exists"):
        benchmark(["peaks"], setup, **SMALL, out=tmp_path / "b.json")
    with pytest.raises(InputError, match="expected 1 or more"):
        benchmark(["peaks"], setup, repeats=0)
    with pytest.raises(InputError, match="no such model folder"):
        benchmark(["localize"], setup, **SMALL, model=tmp_path / "none")
