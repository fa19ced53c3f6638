"""What holds for all setups, tables and recordings: writing and reading back, in every format."""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
import hypothesis.extra.numpy as arrays
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds3d_tf.common import InputError
from ds3d_tf.localization.frames.source import open_frames
from ds3d_tf.localization.tables.formats import save_table
from ds3d_tf.localization.tables.tables import COLUMNS, read_table
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.setup.bounds import BOUNDS, check_bounds, numbers_of

quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SETUP = load_setup("quickstart_voxel")
NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.integers(-(10**30), 10**30), st.floats(-1e4, 1e4)
)


@quick
@given(st.dictionaries(st.sampled_from(sorted(BOUNDS)), NUMBERS, min_size=1, max_size=3))
def test_setups_are_refused_or_read_back(changes):
    """An accepted number is within its bounds, and in the YAML text as it was given."""
    pairs = {name for name, value in numbers_with_pairs().items() if value}
    values = {name: [value, value] if name in pairs else value for name, value in changes.items()}
    try:
        setup = SETUP.replace(values)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 3000
        return
    assert not check_bounds(setup)
    assert Setup.from_yaml(setup.to_yaml()) == setup
    for name, value in changes.items():
        section, _, field = name.partition(".")
        own = getattr(getattr(setup, section), field)
        assert (own[0] if isinstance(own, tuple) else own) == pytest.approx(value)


def numbers_with_pairs():
    """Return field → whether it holds a pair, of all fields with bounds."""
    found = {}
    for name in BOUNDS:
        section, _, field = name.partition(".")
        part = getattr(SETUP, section)
        found[name] = part is not None and isinstance(getattr(part, field), tuple)
    return found | {"camera.roi_origin_px": True}


def test_every_number_of_a_setup_has_bounds():
    with_camera = SETUP.replace({"camera": {"offset_counts": 1.0, "roi_origin_px": [0, 0]}, "read_noise.kind": "none"})
    optional = {
        *("mask.learning_rate", "signal.label_threshold", "resuming.epochs", "emitters.on_time_frames"),
        *(f"learning.{name}" for name in ("crop_px", "minutes", "warm_up", "weight_decay", "clip_norm")),
    }
    one_of_a_few = {"learning.max_dilation", "learning.context_frames", "volume.lateral_voxels"}
    names = {name for name, _ in numbers_of(with_camera)} | optional
    assert names == set(BOUNDS) | one_of_a_few


@quick
@given(st.lists(st.tuples(st.integers(1, 10**6), *[st.floats(-1e6, 1e6)] * 3, st.floats(0, 1e4)), max_size=30))
def test_tables_read_back(rows):
    """Picometres are kept by CSV, all digits by Parquet, single precision by Picasso's HDF5."""
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"frame": np.int64, **dict.fromkeys(COLUMNS[1:], float)})
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".csv", ".parquet", ".hdf5"):
            save_table(table, Path(folder) / f"t{ending}", (100, 90), SETUP, 10**6)
        again = read_table(Path(folder) / "t.csv")
        np.testing.assert_allclose(again.to_numpy(float), table.to_numpy(float), atol=6e-4)
        parquet = pd.read_parquet(Path(folder) / "t.parquet")
        np.testing.assert_allclose(parquet.to_numpy(float), table.to_numpy(float), atol=6e-4)
        with h5py.File(Path(folder) / "t.hdf5") as file:
            locs = file["locs"][:]
        pixel_nm = SETUP.optics.pixel_um * 1000
        np.testing.assert_array_equal(locs["frame"] + 1, table["frame"])
        np.testing.assert_allclose((locs["x"] + 0.5) * pixel_nm, table["x [nm]"], rtol=1e-6, atol=0.01)


@settings(quick, max_examples=30)
@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
        arrays.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12),
        elements=st.integers(0, 127),
    ),
    st.integers(1, 5),
)
def test_recordings_read_back(frames, depth):
    """The same frames in TIFF, Zarr and NumPy are the same frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        tifffile.imwrite(path / "a.tif", frames, photometric="minisblack", metadata=None)
        np.save(path / "a.npy", frames)
        chunks = (min(depth, len(frames)), *frames.shape[1:])
        array = zarr.create_array(
            store=str(path / "a.zarr"),
            shape=frames.shape,
            chunks=chunks,
            dtype=frames.dtype,
            config={"write_empty_chunks": True},
        )
        array[:] = frames
        for name in ("a.tif", "a.npy", "a.zarr"):
            source = open_frames(path / name)
            assert (len(source), source.shape) == (len(frames), frames.shape[1:])
            found = np.stack([source.read(index) for index in range(len(source))])
            np.testing.assert_array_equal(found, frames.astype(np.float32))
