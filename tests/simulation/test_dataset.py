"""Data sets on disk: what is written comes back, and damaged or unfitting ones are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile

from ds3d_tf.common.errors import InputError
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.dataset import load_dataset, split_frames, stored_dataset, write_dataset
from ds3d_tf.simulation.stream import simulate_frames

SMALL = ("volume.height_px=24", "volume.width_px=28", "learning.batch_size=4")


@pytest.fixture(scope="module")
def setup():
    return load_setup("quickstart_voxel", [*SMALL, "training_set.training_count=24", "training_set.validation_count=6"])


@pytest.fixture(scope="module")
def folder(setup, tmp_path_factory):
    path = tmp_path_factory.mktemp("dataset")
    write_dataset(path, setup, 20, seed=4)
    return path


def _all(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True)]


def test_files(setup, folder):
    simulated = simulate_frames(setup, 20, seed=4)
    with tifffile.TiffFile(folder / "frames.tif") as tiff:
        assert len(tiff.pages) == 20
    frames = tifffile.imread(folder / "frames.tif")
    assert frames.dtype == np.uint16
    assert np.array_equal(frames, np.rint(simulated.frames))
    table = pd.read_csv(folder / "truth.csv")
    assert list(table.columns) == ["frame", "x [nm]", "y [nm]", "z [nm]", "photons", "labelled"]
    assert table["frame"].min() == 1
    assert len(table) == (simulated.photons > 0).sum()


def test_a_truth_of_an_earlier_version_is_read(setup, folder, tmp_path):
    """In the package's own coordinates: µm from the centre of pixel (H // 2, W // 2)."""
    import shutil

    shutil.copytree(folder, tmp_path / "older")
    table = pd.read_csv(folder / "truth.csv")
    pixel, volume = setup.optics.pixel_um, setup.volume
    table["x_um"] = table.pop("x [nm]") / 1000 - (volume.width_px // 2 + 0.5) * pixel
    table["y_um"] = table.pop("y [nm]") / 1000 - (volume.height_px // 2 + 0.5) * pixel
    table["z_um"] = table.pop("z [nm]") / 1000 + volume.z_min_um
    table.to_csv(tmp_path / "older" / "truth.csv", index=False)
    older, newer = load_dataset(tmp_path / "older"), load_dataset(folder)
    np.testing.assert_allclose(older.emitters, newer.emitters, atol=1e-6)


def test_round_trip(setup, folder):
    stored = load_dataset(folder)
    simulated = simulate_frames(setup, 20, seed=4)
    most = stored.photons.shape[1]
    assert np.array_equal(stored.photons, simulated.photons[:, :most])
    assert np.array_equal(stored.emitters[..., :3], simulated.xyz_um[:, :most])
    assert np.array_equal(stored.emitters[..., 3] > 0, simulated.labelled[:, :most])
    np.testing.assert_array_equal(stored.mask_rad, load_mask(setup))
    np.testing.assert_array_equal(load_mask(stored.setup), stored.mask_rad)
    again = simulate_frames(stored.setup, 20, seed=stored.setup.training_set.seed)
    assert np.array_equal(again.frames, simulated.frames)


def test_bright_frames_are_kept_as_floats(setup, tmp_path):
    bright = setup.replace({"signal.uniform_range": (1e7, 2e7), "read_noise.kind": "uniform"})
    write_dataset(tmp_path, bright, 3, seed=1)
    stored = load_dataset(tmp_path)
    assert stored.frames.dtype == np.float32
    assert np.array_equal(stored.frames, simulate_frames(bright, 3, seed=1).frames)


def test_a_frame_may_hold_no_emitter(setup, tmp_path):
    write_dataset(tmp_path, setup, 2, seed=1, emitter_count=0)
    stored = load_dataset(tmp_path)
    assert stored.emitters.shape == (2, 1, 4)
    assert not stored.emitters.any()


def test_training_batches(setup, folder):
    stored = load_dataset(folder)
    frames, emitters = _all(stored_dataset(setup, folder))
    assert frames.shape == (16, 24, 28)
    assert emitters.shape[0] == 16
    validation_frames, validation = _all(stored_dataset(setup, folder, "validation"))
    assert np.array_equal(validation, stored.emitters[16:])
    np.testing.assert_allclose(validation_frames, stored.frames[16:] / setup.normalization.divide, rtol=1e-6)

    def keys(rows):
        return sorted(row.tobytes() for row in rows)

    assert keys(emitters) == keys(stored.emitters[:16])
    later = _all(stored_dataset(setup, folder, first_frame=16))[1]
    assert keys(later) == keys(emitters)
    assert not np.array_equal(later, emitters)
    through = _all(stored_dataset(setup, folder, limit=32, batch_size=5))[1]
    assert np.array_equal(through, np.concatenate([emitters, later]))
    assert np.array_equal(_all(stored_dataset(setup, folder, first_frame=7, limit=20))[1], through[7:27])


def test_split(setup):
    assert (split_frames(setup, 20, "training"), split_frames(setup, 20, "validation")) == (range(16), range(16, 20))
    assert (split_frames(setup, 2, "training"), split_frames(setup, 2, "validation")) == (range(1), range(1, 2))


def test_what_does_not_fit_is_refused(setup, folder, tmp_path):
    with pytest.raises(InputError, match=r"volume\.height_px=24"):
        stored_dataset(setup.replace({"volume.height_px": 26}), folder)
    with pytest.raises(InputError, match="pixels of"):
        stored_dataset(setup.replace({"optics.camera_pixel_um": 11.02}), folder)
    with pytest.raises(InputError, match="not a data set"):
        stored_dataset(setup, tmp_path / "absent")
    write_dataset(tmp_path, setup, 1, seed=1)
    with pytest.raises(InputError, match="one frame"):
        stored_dataset(setup, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("frames.tif", b"", "cannot be read"),
        ("frames.tif", b"not a TIFF " * 9, "cannot be read"),
        ("truth.csv", b"", "expected a table"),
        ("truth.csv", b"frame,x_um\n1,2\n", "expected a table"),
        ("truth.csv", b"frame,x_um,y_um,z_um,photons,labelled\n99,0,0,0,1,1\n", "frames from 1 to 2"),
        ("truth.csv", b"frame,x_um,y_um,z_um,photons,labelled\n1,,0,0,1,1\n", "finite numbers"),
        ("mask.npy", b"", "missing or damaged"),
        ("setup.yaml", b"optics: [", "YAML"),
    ],
)
def test_damaged_files(setup, tmp_path, name, content, message):
    write_dataset(tmp_path, setup, 2, seed=1)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_dataset(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"{name} missing"):
        load_dataset(tmp_path)
