"""The SavedModel: positions known by hand, optional inputs, and a process without this package."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.common import InputError
from ds3d_tf.export.saved_model import export_saved_model
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.normalization import normalize


def frames_with(*pixels, shape=(20, 26), batch=1):
    """Frames of background 5 counts (normalized: 0) with (entry, row, column, counts above it)."""
    frames = np.full((batch, *shape), 5, np.float32)
    for entry, row, column, counts in pixels:
        frames[entry, row, column] += counts
    return frames


def test_raw_counts_in_positions_out(model):
    frames = frames_with((0, 4, 7, 350), (0, 13, 20, 650), (2, 9, 9, 150), batch=3)
    result = model.signatures["serving_default"](frames=tf.constant(frames))
    assert set(result) == {"xyz_um", "confidence", "count"}
    assert [result[k].dtype for k in ("xyz_um", "confidence", "count")] == [tf.float32, tf.float32, tf.int32]
    assert result["count"].numpy().tolist() == [2, 0, 1]
    # Pixel (row, column) is (column - W // 2, row - H // 2) pixels from the middle; voxel k of 8 in [1, 3] µm.
    expected = np.zeros((3, 2, 3))
    expected[0] = [[(7 - 13) * 0.11, (4 - 10) * 0.11, 1.875], [(20 - 13) * 0.11, (13 - 10) * 0.11, 2.625]]
    expected[2, 0] = [(9 - 13) * 0.11, (9 - 10) * 0.11, 1.375]
    np.testing.assert_allclose(result["xyz_um"], expected, atol=1e-6)
    np.testing.assert_allclose(result["confidence"], [[350, 650], [0, 0], [150, 0]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(20, 20), (21, 33), (64, 17)])
def test_any_size_and_the_shifted_grid(model, exported, shape):
    shifted = tf.saved_model.load(str(exported(**{"volume.grid": "half_pixel_shifted"})))
    frames = tf.constant(frames_with((0, 5, 9, 250), shape=shape))
    position = [(9 - shape[1] // 2) * 0.11, (5 - shape[0] // 2) * 0.11, 1.625]
    found = model.signatures["serving_default"](frames=frames)["xyz_um"][0]
    np.testing.assert_allclose(found, [position], atol=1e-6)
    found = shifted.signatures["serving_default"](frames=frames)["xyz_um"][0]
    np.testing.assert_allclose(found, [np.add(position, [0.055, 0.055, 0])], atol=1e-6)
    assert model.signatures["volume"](frames=frames)["volume"].shape == (1, 4 * shape[0], 4 * shape[1], 8)


def test_threshold_and_radius(model):
    # 8 voxels apart in the same depth voxel: one peak for radius 8, two for the model's own 2; 80 is below its 120.
    frames = tf.constant(frames_with((0, 8, 8, 350), (0, 8, 10, 320), (0, 14, 20, 80)))
    with_options = model.signatures["with_options"]

    def count(threshold, radius):
        result = with_options(frames=frames, threshold=tf.constant(threshold), radius=tf.constant(radius))
        return int(result["count"][0])

    assert count(120.0, 2) == 2 and count(50.0, 2) == 3 and count(330.0, 2) == 1 and count(120.0, 8) == 1
    assert count(-1.0, -1) == 2 and count(-1.0, 8) == 1 and count(50.0, -1) == 3 and count(float("nan"), -1) == 2


def test_options_are_optional(model, model_folder):
    """For servers by the signature's defaults, in Python by the arguments of ``localize``."""
    frames = frames_with((0, 8, 8, 350), (0, 14, 20, 80))
    assert model.localize(frames)["count"].numpy().tolist() == [1]
    assert model.localize(frames, threshold=50.0)["count"].numpy().tolist() == [2]
    assert model.localize(frames, radius=60, threshold=10.0)["count"].numpy().tolist() == [1]

    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], str(model_folder)).signature_def["with_options"]
        assert {name: value.float_val or value.int_val for name, value in signature.defaults.items()} == {
            "threshold": [120.0],
            "radius": [2],
        }
        count, frames_name, threshold = (
            signature.outputs["count"].name,
            signature.inputs["frames"].name,
            signature.inputs["threshold"].name,
        )
        assert session.run(count, {frames_name: frames}).tolist() == [1]
        assert session.run(count, {frames_name: frames, threshold: 50.0}).tolist() == [2]


def test_assets_carry_setup_mask_and_reach(model_folder, mask_rad):
    setup = load_setup(model_folder / "assets" / "setup.yaml")
    assert setup.mask.source == "mask.npy" and setup.mask.size_px == 101 and setup.volume.z_max_um == 3.0
    np.testing.assert_array_equal(np.load(model_folder / "assets" / "mask.npy"), mask_rad)
    assert json.loads((model_folder / "assets" / "network.json").read_text())["reach_px"] == 3
    from ds3d_tf.optics.masks import load_mask

    np.testing.assert_array_equal(load_mask(setup), mask_rad)


def test_loads_and_runs_without_this_package(model_folder, tmp_path):
    program = textwrap.dedent(
        """
        import sys
        class Forbid:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "ds3d_tf":
                    raise ImportError("this process has no ds3d_tf")
        sys.meta_path.insert(0, Forbid())
        import numpy as np, tensorflow as tf
        model = tf.saved_model.load(sys.argv[1])
        frames = np.full((1, 20, 26), 5, np.float32)
        frames[0, 4, 7] += 350
        for name in ("serving_default", "with_options"):
            more = {} if name == "serving_default" else {"threshold": tf.constant(-1.0), "radius": tf.constant(-1)}
            result = model.signatures[name](frames=tf.constant(frames), **more)
            print(result["count"].numpy()[0], *np.round(result["xyz_um"].numpy()[0, 0], 4))
        print(model.signatures["volume"](frames=tf.constant(frames))["volume"].shape)
        assert not any(name.split(".")[0] == "ds3d_tf" for name in sys.modules)
        """
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(model_folder)],
        cwd=tmp_path,
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["1 -0.66 -0.66 1.875"] * 2 + ["(1, 80, 104, 8)"]


@pytest.mark.parametrize("kind", ["project_01", "factors"])
def test_a_real_network_gives_the_same_volume_in_both_normalizations(tmp_path, kind):
    """Against the Keras model called directly; precision float32 and mixed."""
    setup = load_setup(
        "quickstart_voxel", [f"normalization.kind={kind}", "volume.depth_voxels=5", "learning.filters=4"]
    )
    network = LocalizationNet.from_setup(setup)
    for layer in (network.voxels.convolution,):
        layer.kernel.assign(np.random.default_rng(0).normal(0, 30, layer.kernel.shape))
    export_saved_model(network, setup, np.zeros((101, 101)), tmp_path / "model")
    localizer = Localizer(tmp_path / "model")
    assert localizer.receptive_radius_px == network.receptive_radius_px == 12
    frames = np.random.default_rng(1).uniform(10, 3000, (2, 24, 30)).astype(np.float32)
    if kind == "project_01":
        low, high = frames.min((1, 2), keepdims=True), frames.max((1, 2), keepdims=True)
        normalized = (frames - low) / (high - low)
    else:
        normalized = frames / 100
    np.testing.assert_allclose(normalize(frames, setup.normalization), normalized, rtol=1e-5)
    expected = network(normalized.astype(np.float32), training=False)
    assert np.max(expected) > 1
    np.testing.assert_allclose(localizer.volume(frames), expected, atol=2e-3)


def test_export_replaces_a_folder_whole(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    with pytest.raises(InputError, match="is not only a SavedModel"):
        export_saved_model(None, None, None, folder)
    (folder / "saved_model.pb").write_bytes(b"old")
    with pytest.raises(InputError, match=r"holds old\.txt"):
        export_saved_model(None, None, None, folder)
    assert (folder / "old.txt").read_text() == "old"
    (folder / "old.txt").unlink()
    (folder / "variables").mkdir()
    (folder / "variables" / "variables.data-00000-of-00002").write_bytes(b"old")
    network = LocalizationNet(depth_voxels=5, filters=4, max_dilation=4)
    setup = load_setup("quickstart_voxel", ["volume.depth_voxels=5"])
    export_saved_model(network, setup, np.zeros((101, 101)), folder)
    assert not (folder / "variables" / "variables.data-00000-of-00002").exists()
    assert (folder / "saved_model.pb").read_bytes() != b"old"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
