"""Every format of a pixel network gives what the Keras model gives, whatever the tiles."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.common import InputError
from ds3d_tf.export.agreement import keras_localizer
from ds3d_tf.export.folded_pixel_net import folded
from ds3d_tf.export.saved_model import export_saved_model
from ds3d_tf.export.tflite import export_tflite
from ds3d_tf.jobs.export import export
from ds3d_tf.jobs.localize import localize
from ds3d_tf.localization.in_memory import network_measurer
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.localization.measured import MeasuredLocalizations
from ds3d_tf.localization.neighbours import with_neighbours
from ds3d_tf.localization.tables.tables import COLUMNS, MEASURED_COLUMNS, read_table
from ds3d_tf.model.files import save_model_folder

sys.path.insert(0, str(Path(__file__).parent))
from lively import SHAPE, frames, lively_pixel_network, normalized

PACKAGES = {"tflite": ("ai_edge_litert",), "onnx": ("onnxruntime", "tf2onnx", "onnx"), "openvino": ("openvino",)}
ENDINGS = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}


def expected_rows(network, setup, kind: str) -> list[np.ndarray]:
    """Position, confidence and details of each frame by the network itself, on whole frames."""
    measured = network_measurer(network, setup)(tf.constant(normalized(frames(), kind)))
    xyz_um, confidence, count, details = (value.numpy() for value in measured)
    rows = np.concatenate([xyz_um, confidence[..., None], details], axis=-1)
    return [row[:number] for row, number in zip(rows, count, strict=True)]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Nearly all rows within half a nanometre and a thousandth of everything else."""
    assert min(map(len, expected)) > 5
    for some, own in zip(found, expected, strict=True):
        assert abs(len(some) - len(own)) <= 1 + 0.005 * len(own)
        near = np.linalg.norm(some[:, None, :3] - own[None, :, :3], axis=-1)
        same = near.min(axis=0) < 5e-4
        assert same.mean() > 0.99
        difference = np.abs(some[near.argmin(axis=0)[same], 3:] - own[same, 3:])
        assert (difference < 5e-3 * np.abs(own[:, 3:]).max(axis=0)).mean() > 0.999


@pytest.fixture(scope="module", params=["factors", "project_01"])
def lively(request, tmp_path_factory, mask_rad):
    network, setup = lively_pixel_network(request.param)
    folder = tmp_path_factory.mktemp("pixel") / "model"
    export_saved_model(network, setup, mask_rad, folder)
    return request.param, network, setup, folder


def test_folded_network_is_the_network():
    network, _ = lively_pixel_network("factors")
    inputs = normalized(frames(), "factors")
    np.testing.assert_allclose(folded(network)(inputs), network(inputs), rtol=1e-3, atol=1e-3)


def test_saved_model_whole_and_in_tiles(lively):
    kind, network, setup, folder = lively
    expected = expected_rows(network, setup, kind)
    localizer = Localizer(folder)
    assert_same(localizer.rows(frames()), expected)
    for tile in ((20, 24), (7, 40)):
        xyz_um, confidence, count, details = localizer.engine.localize(frames(), None, None, tile)
        rows = np.concatenate([xyz_um, confidence[..., None], details], axis=-1)
        assert_same([row[:number] for row, number in zip(rows, count, strict=True)], expected)
    whole = np.asarray(localizer.volume(frames()))
    assert whole.shape == (2, *SHAPE, 10)
    part = np.asarray(localizer.volume(frames(), (10, 31), (5, 60)))
    np.testing.assert_allclose(part, whole[:, 10:31, 5:60], rtol=1e-3, atol=1e-4)


def test_table_has_the_uncertainties(lively, tmp_path):
    _, _, _, folder = lively
    found = Localizer(folder).localize(frames())
    assert isinstance(found, MeasuredLocalizations)
    found.save(tmp_path / "table.csv")
    table = read_table(tmp_path / "table.csv")
    assert tuple(table.columns) == COLUMNS + MEASURED_COLUMNS
    np.testing.assert_allclose(table["uncertainty_z [nm]"], 1000 * found.sigma_xyz_um[:, 2], atol=1e-3)
    first = found.of_frame(1)
    assert len(first.photons) == len(first) < len(found)
    found.save(tmp_path / "table.hdf5")
    import h5py

    locs = h5py.File(tmp_path / "table.hdf5")["locs"][:]
    pixel_nm = 1000 * found.setup.optics.pixel_um
    np.testing.assert_allclose(locs["lpx"], 1000 * found.sigma_xyz_um[:, 0] / pixel_nm, rtol=1e-3, atol=1e-5)
    nothing = Localizer(folder).localize(frames()[:, :9, :9] * 0 + 100, threshold=0.999999)
    assert set(nothing.to_dataframe().columns) == set(table.columns)


@pytest.mark.parametrize("kind", PACKAGES)
def test_other_runtimes(kind, tmp_path, mask_rad):
    missing = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{missing} not installed")
    normalization = "project_01" if kind == "onnx" else "factors"
    network, setup = lively_pixel_network(normalization)
    changes = {"volume.height_px": SHAPE[0], "volume.width_px": SHAPE[1]}
    save_model_folder(tmp_path / "run", network, setup.replace(changes), mask_rad)
    file = tmp_path / f"network{ENDINGS[kind]}"
    np.save(tmp_path / "frames.npy", frames())
    export(tmp_path / "run", kind, file, frames=str(tmp_path / "frames.npy"), check=1)
    localizer = Localizer(file)
    expected = expected_rows(network, setup, normalization)
    assert_same(localizer.rows(frames()), expected)
    if kind != "onnx":
        return
    xyz_um, confidence, count, details = localizer.engine.localize(frames(), None, None, (24, 30))
    rows = np.concatenate([xyz_um, confidence[..., None], details], axis=-1)
    assert_same([row[:number] for row, number in zip(rows, count, strict=True)], expected)


def test_tiles_of_one_size_cover_larger_frames(mask_rad):
    """An engine for one size, here around the network itself, gives the whole frame's emitters."""
    network, setup = lively_pixel_network("factors")
    network = folded(network)
    reach = network.receptive_radius_px
    large = np.tile(frames(1), (1, 4, 3))[:, :201, :190]
    reference = keras_localizer(network, setup, mask_rad, memory_gb=2.0)
    expected = reference.rows(large)
    localizer = keras_localizer(network, setup, mask_rad, memory_gb=2.0)
    localizer.engine.size_px = (180, 180)
    assert 2 * reach < 180
    assert_same(localizer.rows(large), expected)
    localizer.engine.size_px = (181, 181)
    with pytest.raises(InputError, match="a multiple of 4"):
        localizer.rows(large)


def test_three_frames_in_batches_with_their_neighbours(tmp_path, mask_rad):
    """A recording localized whole, in batches, or from its middle on gives what the network gives of each triple."""
    network, setup = lively_pixel_network("factors", context_frames=3)
    export_saved_model(network, setup, mask_rad, tmp_path / "model")
    recording = frames(5)
    inputs = normalized(recording, "factors")
    # Mirrored at the ends: the frame before the first is the second.
    triples = np.stack([inputs[[1, 0, 1, 2, 3]], inputs, inputs[[1, 2, 3, 4, 3]]], axis=-1)
    measured = [value.numpy() for value in network_measurer(network, setup)(tf.constant(triples))]
    rows = np.concatenate([measured[0], measured[1][..., None], measured[3]], axis=-1)
    expected = [row[:number] for row, number in zip(rows, measured[2], strict=True)]
    localizer = Localizer(tmp_path / "model")
    assert localizer.context_frames == 3
    assert_same(localizer.rows(recording), expected)
    batches = ((recording[first : first + 2], first) for first in (0, 2, 4))
    found = []
    for seen, context, _ in with_neighbours(batches):
        found += localizer.rows(seen, context=context)
    assert_same(found, expected)
    tail = with_neighbours(iter([(recording[2:], None)]), before=recording[1])
    seen, context, _ = next(tail)
    assert_same(localizer.rows(seen, context=context), expected[2:])
    with pytest.raises(InputError, match="sees 3 frames at once"):
        export_tflite(network, setup, mask_rad, tmp_path / "n.tflite")


def test_localize_refuses_a_single_frame_and_resumes_with_its_neighbours(tmp_path, mask_rad):
    network, setup = lively_pixel_network("factors", context_frames=3)
    export_saved_model(network, setup, mask_rad, tmp_path / "model")
    np.save(tmp_path / "one.npy", frames(1))
    with pytest.raises(InputError, match=r"a single frame, but .* sees 3 frames at once"):
        localize(tmp_path / "model", tmp_path / "one.npy", tmp_path / "one.csv", refine=False)
    np.save(tmp_path / "five.npy", frames(5))
    tables = []
    for batch_size in (5, 2):
        out = tmp_path / f"{batch_size}.csv"
        localize(tmp_path / "model", tmp_path / "five.npy", out, refine=False, batch_size=batch_size)
        tables.append(read_table(out))
    assert tuple(tables[0].columns) == COLUMNS + MEASURED_COLUMNS
    np.testing.assert_allclose(tables[0].to_numpy(), tables[1].to_numpy(), rtol=1e-3, atol=0.5)


def test_bad_tiles_are_refused(tmp_path, mask_rad):
    network, setup = lively_pixel_network("factors")
    with pytest.raises(InputError, match="each side needs at least"):
        export_tflite(network, setup, mask_rad, tmp_path / "n.tflite", tile_px=(40, 40))
    with pytest.raises(InputError, match="multiples of 4"):
        export_tflite(network, setup, mask_rad, tmp_path / "n.tflite", tile_px=(201, 200))
