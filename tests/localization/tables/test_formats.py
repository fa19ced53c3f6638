"""Finished tables: Parquet and Picasso's HDF5 read back with the libraries that others use."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from ds3d_tf.common import InputError
from ds3d_tf.localization.tables import formats as table_formats
from ds3d_tf.localization.tables.formats import save_table
from ds3d_tf.localization.tables.tables import COLUMNS, REFINED_COLUMNS, read_table, to_table, write_table
from ds3d_tf.setup import load_setup


@pytest.fixture
def setup():
    return load_setup("demo3")


@pytest.fixture
def table(tmp_path, setup):
    rng = np.random.default_rng(0)
    frame = np.sort(rng.integers(1, 40, 500))
    table = to_table(frame, rng.uniform([-3, -4, 2], [3, 4, 6], (500, 3)), rng.uniform(80, 800, 500), (90, 70), setup)
    write_table(tmp_path / "rows.csv", table)
    return read_table(tmp_path / "rows.csv")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(table_formats, "_ROWS_AT_A_TIME", 130)


def test_csv_and_parquet(tmp_path, table, setup):
    assert table_formats.median_confidence(tmp_path / "rows.csv") == pytest.approx(table["intensity [au]"].median())
    for name, read in (("a.parquet", pd.read_parquet), ("a.csv", read_table)):
        table_formats.finish_table(tmp_path / "rows.csv", tmp_path / name, (90, 70), setup, 39)
        pd.testing.assert_frame_equal(read(tmp_path / name), table)
    assert not (tmp_path / "rows.csv").exists()


@pytest.mark.parametrize("ending", ["hdf5", "h5"])
def test_picasso(tmp_path, table, setup, ending):
    table_formats.finish_table(tmp_path / "rows.csv", tmp_path / f"a.{ending}", (90, 70), setup, 39)
    with h5py.File(tmp_path / f"a.{ending}") as file:
        assert list(file) == ["locs"]
        locs = file["locs"][:]
    # Nothing is made up for what only a refinement knows.
    assert {*locs.dtype.names} == {"frame", "x", "y", "z", "confidence"}
    assert locs.dtype["frame"] == np.uint32 and locs.dtype["x"] == np.float32
    np.testing.assert_array_equal(locs["frame"], table["frame"] - 1)
    # Picasso: the centre of pixel (row, column) is (y, x) = (row, column); the table: (row + 0.5, column + 0.5).
    np.testing.assert_allclose(locs["x"], table["x [nm]"] / 110 - 0.5, atol=1e-4)
    np.testing.assert_allclose(locs["y"], table["y [nm]"] / 110 - 0.5, atol=1e-4)
    np.testing.assert_allclose(locs["z"], table["z [nm]"], atol=1e-3)
    np.testing.assert_allclose(locs["confidence"], table["intensity [au]"], rtol=1e-6)
    facts = yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert {key: facts[key] for key in ("Width", "Height", "Frames", "Pixelsize")} == {
        "Width": 70,
        "Height": 90,
        "Frames": 39,
        "Pixelsize": 110.0,
    }


def test_an_emitter_in_the_middle_of_a_pixel(tmp_path, setup):
    """Pixel (row 10, column 20) of a 90×70 frame: its centre is (20 - 35, 10 - 45) pixels from the origin."""
    table = to_table([1], [[(20 - 35) * 0.11, (10 - 45) * 0.11, 2.5]], [100], (90, 70), setup)
    locs = table_formats.picasso_rows(table, setup)
    assert (locs["frame"][0], locs["z"][0]) == (0, pytest.approx(500))
    assert [locs["x"][0], locs["y"][0]] == pytest.approx([20, 10], abs=1e-5)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.hdf5"])
def test_tables_without_rows(tmp_path, setup, name):
    (tmp_path / "rows.csv").write_text(",".join(COLUMNS) + "\n")
    assert table_formats.median_confidence(tmp_path / "rows.csv") is None
    table_formats.finish_table(tmp_path / "rows.csv", tmp_path / name, (9, 9), setup, 3)
    assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize("name", ["a.txt", "a", "a.xlsx"])
def test_unknown_endings(name):
    with pytest.raises(InputError, match=r"ends in \.csv, \.h5, \.hdf5, \.parquet"):
        table_formats.check_table_name(name)


def test_refined_columns_reach_every_format(tmp_path) -> None:
    setup = load_setup("demo1")
    table = to_table([1, 3], [[0.5, -0.25, 1.0], [0, 0, 2.0]], [120.0, np.nan], (121, 121), setup)
    for number, name in enumerate(REFINED_COLUMNS):
        table[name] = [10.0 + number, 20.0 + number]
    save_table(table, tmp_path / "a.csv", (121, 121), setup, 3)
    again = read_table(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(again, table, check_exact=False, atol=6e-4, rtol=0)
    save_table(table, tmp_path / "a.parquet", (121, 121), setup, 3)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), again)
    save_table(table, tmp_path / "a.hdf5", (121, 121), setup, 3)
    with h5py.File(tmp_path / "a.hdf5") as file:
        locs = file["locs"][:]
    pixel_nm = 1000 * setup.optics.pixel_um
    values = again.iloc[0]
    assert locs["photons"][0] == values["intensity [photon]"] and locs["bg"][0] == values["offset [photon]"]
    for name, column in (("sx", "sigma [nm]"), ("lpx", "uncertainty_x [nm]"), ("lpy", "uncertainty_y [nm]")):
        assert locs[name][0] * pixel_nm == pytest.approx(values[column], rel=1e-6)
    assert locs["lpz"][0] == pytest.approx(values["uncertainty_z [nm]"])
    # The network's confidence is missing where the search found the molecule; it is not taken for a number.
    assert np.isnan(again["intensity [au]"][1]) and locs["confidence"][1] == 0


def test_an_empty_confidence_is_refused_without_a_refinement(tmp_path) -> None:
    (tmp_path / "a.csv").write_text(",".join(COLUMNS) + "\n1,2,3,4,\n")
    with pytest.raises(InputError, match=r"row 2, column 'intensity \[au\]'"):
        read_table(tmp_path / "a.csv")
