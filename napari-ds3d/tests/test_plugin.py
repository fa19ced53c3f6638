"""The plugin, as napari's own machinery and its layers see it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Layer, Points
from napari_ds3d import get_reader, write_points
from npe2 import PluginManifest

from ds3d_tf.postprocessing import Molecules, read_molecules


@pytest.fixture
def molecules(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"frame": np.sort(rng.integers(1, 6, 200))})
    for axis, top in (("x", 3520), ("y", 3520), ("z", 900)):
        table[f"{axis} [nm]"] = rng.uniform(0, top, 200)
    for axis in "xyz":
        table[f"uncertainty_{axis} [nm]"] = rng.uniform(5, 20, 200)
    made = Molecules(table, "t", 110.0, (32, 32), 5)
    made.save(tmp_path / "molecules.parquet")
    return made


def layers(path):
    return [Layer.create(*one) for one in get_reader(str(path))(str(path))]


def test_the_manifest_names_what_is_there():
    manifest = PluginManifest.from_file(Path(__file__).parents[1] / "napari_ds3d" / "napari.yaml")
    manifest.validate_imports()
    assert [one.layer_types for one in manifest.contributions.writers] == [["points"]]


def test_a_table_becomes_points_and_a_table_again(tmp_path, molecules):
    (points,) = layers(tmp_path / "molecules.parquet")
    assert isinstance(points, Points)
    np.testing.assert_allclose(points.data, molecules.xyz_nm[:, ::-1])
    np.testing.assert_allclose(points.size, 2 * molecules.sigma_nm("x")[:, :2].mean(axis=1), rtol=1e-6)
    z, colour = molecules.xyz_nm[:, 2], points.face_color
    low, high = colour[z < 100].mean(axis=0), colour[z > 800].mean(axis=0)
    assert low[2] > low[0] and high[0] > high[2]  # blue below, red above
    data, attributes, _ = points.as_layer_data_tuple()
    for ending in (".csv", ".parquet"):
        (name,) = write_points(str(tmp_path / f"again{ending}"), data, attributes)
        again = read_molecules(name)
        np.testing.assert_allclose(again.xyz_nm, molecules.xyz_nm, atol=1e-3)
        np.testing.assert_allclose(again.sigma_nm("x"), molecules.sigma_nm("x"), atol=1e-3)
        assert again.frame.tolist() == molecules.frame.tolist()


def test_own_points_are_written(tmp_path):
    data, attributes, _ = Points(np.array([[1.0, 2.0], [3.0, 4.0]]), scale=(10, 10)).as_layer_data_tuple()
    write_points(str(tmp_path / "p.csv"), data, attributes)
    np.testing.assert_allclose(read_molecules(tmp_path / "p.csv").xyz_nm[:, :2], [[20, 10], [40, 30]])


def test_a_run_with_its_frames(tmp_path, molecules):
    frames = np.random.default_rng(0).poisson(20, (5, 32, 32)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "frames.tif", frames, photometric="minisblack")
    run = tmp_path / "run"
    run.mkdir()
    molecules.save(run / "localized.parquet")
    molecules.save(run / "molecules.csv")
    (run / "run.json").write_text(json.dumps({"identity": {"recording": str(tmp_path / "frames.tif")}, "done": {}}))
    space, image, marks = layers(run)
    assert space.ndim == 3 and image.data.shape == (5, 32, 32)
    # A mark is in the world where the pixel under it is.
    k = 7
    place = image.world_to_data(marks.data_to_world(marks.data[k]))
    expected = [molecules.frame[k] - 1, molecules.xyz_nm[k, 1] / 110 - 0.5, molecules.xyz_nm[k, 0] / 110 - 0.5]
    np.testing.assert_allclose(place, expected, atol=1e-6)


def test_what_is_not_ours(tmp_path):
    assert get_reader(str(tmp_path / "a.tif")) is None
    assert get_reader(str(tmp_path)) is None
