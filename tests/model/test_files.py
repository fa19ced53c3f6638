"""Model folders."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.model import LocalizationNet, PixelNet
from ds3d_tf.model.files import load_model_folder, save_model_folder
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.setup import load_setup
from ds3d_tf.training import compile_network


@pytest.fixture
def folder(tmp_path):
    setup = load_setup(
        "quickstart_voxel", ["learning.filters=3", "volume.depth_voxels=4", "mask.zernike_rad={11: 0.5}"]
    )
    save_model_folder(tmp_path / "model", LocalizationNet.from_setup(setup), setup, load_mask(setup))
    return tmp_path / "model"


def test_round_trip(folder, tmp_path, monkeypatch):
    setup = load_setup(
        "quickstart_voxel", ["learning.filters=3", "volume.depth_voxels=4", "mask.zernike_rad={11: 0.5}"]
    )
    model = LocalizationNet.from_setup(setup)
    monkeypatch.chdir(tmp_path)
    again, its_setup, mask = load_model_folder("model")
    frames = np.random.default_rng(0).normal(size=(1, 9, 9)).astype(np.float32)
    np.testing.assert_array_equal(again(frames).numpy(), model(frames).numpy())
    assert np.array_equal(mask, load_mask(setup))
    # The folder stands alone: its setup finds the mask beside it, with nothing added twice.
    assert np.array_equal(load_mask(its_setup), mask)
    assert its_setup.replace({"mask": setup.mask.model_dump()}) == setup
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["mask.npy", "model.keras", "setup.yaml"]


@pytest.mark.parametrize("name", ["model.keras", "setup.yaml", "mask.npy"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"not a model folder \(no {name}\)"):
        load_model_folder(folder)


@pytest.mark.parametrize(("name", "message"), [("model.keras", "damaged"), ("mask.npy", "damaged")])
def test_truncated_file(folder, name, message):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=message) as error:
        load_model_folder(folder)
    assert "\n" not in str(error.value)


def test_no_folder(folder):
    with pytest.raises(InputError, match="no such model folder"):
        load_model_folder(folder / "missing")
    with pytest.raises(InputError, match="a file, not a model folder"):
        load_model_folder(folder / "model.keras")


def test_a_network_of_a_long_training_loads(tmp_path):
    """The steps of its schedule are a large number of its file, and no size."""
    setup = load_setup("quickstart", ["learning.filters=4", "learning.epochs=5000"])
    model = PixelNet.from_setup(setup)
    compile_network(model, setup)
    save_model_folder(tmp_path / "model", model, setup, load_mask(setup))
    assert '"decay_steps": 475000' in zipfile.ZipFile(tmp_path / "model" / "model.keras").read("config.json").decode()
    again, _, _ = load_model_folder(tmp_path / "model")
    frames = np.random.default_rng(0).normal(size=(1, 9, 9)).astype(np.float32)
    np.testing.assert_array_equal(again(frames).numpy(), model(frames).numpy())
