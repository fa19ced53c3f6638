"""TFLite, ONNX and OpenVINO: the Keras model's localizations, whatever the tiles, and one line for every mistake."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ds3d_tf.common import InputError
from ds3d_tf.evaluation.matching import match
from ds3d_tf.export.tflite import export_tflite
from ds3d_tf.jobs import export as job
from ds3d_tf.jobs.localize import localize
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.localization.peaks.peaks import find_peaks
from ds3d_tf.localization.tables.tables import read_table
from ds3d_tf.model.files import save_model_folder
from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.simulation.voxel_grid import VoxelGrid

sys.path.insert(0, str(Path(__file__).parent))
from lively import SHAPE, frames, lively_network, normalized

NORMALIZATIONS = {"tflite": "project_01", "onnx": "factors", "openvino": "project_01"}
FILES = {"tflite": "n.tflite", "onnx": "n.onnx", "openvino": "n.xml"}
PACKAGES = {"tflite": ("ai_edge_litert",), "onnx": ("onnxruntime", "tf2onnx", "onnx"), "openvino": ("openvino",)}


def needs(kind):
    missing = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    return pytest.param(kind, marks=pytest.mark.skipif(bool(missing), reason=f"{kind}: {missing} not installed"))


ALL = [needs(kind) for kind in FILES]
TFLITE = pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="ai_edge_litert not installed")


@pytest.fixture(scope="module")
def networks(tmp_path_factory, mask_rad):
    """Of each normalization: the network, its folder, and the peaks of whole frames by the network itself."""
    result = {}
    for kind in ("project_01", "factors"):
        network, setup = lively_network(kind)
        folder = tmp_path_factory.mktemp(kind)
        save_model_folder(folder / "run", network, setup, mask_rad)
        tifffile.imwrite(folder / "frames.tif", frames().astype(np.uint16), photometric="minisblack")
        voxels, _, count = find_peaks(network(normalized(frames(), kind), training=False), 600.0, 3)
        xyz_um = VoxelGrid.from_setup(setup).positions_um(voxels, SHAPE).numpy()
        expected = [row[:number] for row, number in zip(xyz_um, count.numpy(), strict=True)]
        assert min(map(len, expected)) > 10
        result[kind] = folder, expected
    return result


@pytest.fixture(scope="module")
def exported(networks):
    """Write a format once; returns the file."""
    done = {}

    def write(kind):
        folder = networks[NORMALIZATIONS[kind]][0]
        key = folder / FILES[kind]
        if key not in done:
            done[key] = job.export(folder / "run", kind, key, frames=folder / "frames.tif", check=2)
        return key, done[key]

    return write


def far(found, expected, tolerance_um):
    """Number of localizations of either without a partner within the tolerance."""
    pairs = sum(len(match(a, b[:, :3], tolerance_um)[0]) for a, b in zip(expected, found, strict=True))
    return max(sum(map(len, expected)), sum(map(len, found))) - pairs


@pytest.mark.parametrize("kind", ALL)
def test_localizations_are_those_of_the_whole_frame(networks, exported, kind):
    """Tiles of 32×32 for TFLite, whole frames and small tiles for the others."""
    normalization = NORMALIZATIONS[kind]
    expected = networks[normalization][1]
    path, done = exported(kind)
    localizer = Localizer(path)
    assert far(localizer.rows(frames()), expected, 0.5e-3) == 0
    assert done.agreement.share(0.5) == 1 and done.agreement.lost == done.agreement.added == 0
    assert done.agreement.localizations == sum(map(len, expected)) and done.agreement.seconds > 0
    little = Localizer(path, memory_gb=localizer.needed_gb((36, 40)))
    if kind != "tflite":
        assert 0 < np.prod(little.tile_size(SHAPE)) < 36 * 40
    assert far([little.rows(frame[None])[0] for frame in frames()], expected, 0.5e-3) == 0


@pytest.mark.parametrize("kind", ALL)
def test_parts_of_the_volume(networks, exported, kind):
    network, _ = lively_network(NORMALIZATIONS[kind])
    whole = network(normalized(frames(), NORMALIZATIONS[kind]), training=False).numpy()
    localizer = Localizer(exported(kind)[0])
    np.testing.assert_allclose(localizer.volume(frames()), whole, atol=1e-2)
    part = localizer.volume(frames(), (20, 33), (50, 74))
    np.testing.assert_allclose(part, whole[:, 80:132, 200:296], atol=1e-2)


@TFLITE
def test_fewer_bits_change_the_volume(tmp_path, mask_rad):
    # Smaller kernels than those of 16 filters are left as they are.
    setup = lively_network("project_01")[1].replace({"learning.filters": 16})
    network = LocalizationNet.from_setup(setup)
    whole = network(normalized(frames(), "project_01"), training=False).numpy()
    errors = []
    for weights in ("float16", "int8"):
        file = export_tflite(network, setup, mask_rad, tmp_path / f"{weights}.tflite", weights=weights)
        localizer = Localizer(file.path)
        assert json.loads(Path(f"{file.path}.json").read_text())["weights"] == weights
        errors.append(np.abs(localizer.volume(frames()) - whole).mean() / whole.mean())
    assert 1e-5 < errors[0] < 0.01 and 0.01 < errors[1] < 0.3


@TFLITE
def test_a_network_that_answers_otherwise_is_not_written(networks, tmp_path, monkeypatch):
    folder = networks["factors"][0]
    write = job._writer("tflite", "float32", None)

    def wrong(model, *more):
        kernel = model.features[2].convolution.kernel
        kept = kernel.numpy()
        kernel.assign(kept * 1.01)
        try:
            return write(model, *more)
        finally:
            kernel.assign(kept)

    monkeypatch.setattr(job, "_writer", lambda *_: wrong)
    with pytest.raises(InputError, match=r"not written: only .* of \d+ localizations are within 0\.5 nm") as caught:
        job.export(folder / "run", "tflite", tmp_path / "a.tflite", frames=folder / "frames.tif", check=2)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ALL)
def test_files_that_are_no_network(exported, tmp_path, kind):
    path = shutil.copy(exported(kind)[0], tmp_path)
    with pytest.raises(InputError, match=r"its description n\..*\.json is missing|no such file") as caught:
        Localizer(path)
    assert "\n" not in str(caught.value)
    for file in exported(kind)[0].parent.glob(FILES[kind].split(".")[0] + ".*"):
        shutil.copy(file, tmp_path)
    Localizer(path)
    described = Path(f"{path}.json")
    text = described.read_text()
    described.write_text(text[:200])
    with pytest.raises(InputError, match="json: damaged"):
        Localizer(path)
    described.write_text(text)
    Path(path).write_bytes(Path(path).read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged, or not the network that"):
        Localizer(path)
    with pytest.raises(InputError, match="no such file"):
        Localizer(tmp_path / "other.tflite")


@pytest.mark.parametrize("kind", ALL)
def test_a_runtime_that_is_not_installed(exported, monkeypatch, kind):
    path, _ = exported(kind)
    package = PACKAGES[kind][0]
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"not installed; pip install 'ds3d-tf\[{kind}\]'"):
        Localizer(path)


@TFLITE
def test_frames_and_tiles_that_do_not_fit(exported):
    path, _ = exported("tflite")
    localizer = Localizer(path)
    assert localizer.engine.size_px == (32, 32)
    with pytest.raises(InputError, match=r"30×40 pixels are smaller than the tile of 32×32"):
        localizer.rows(np.zeros((1, 30, 40)))
    with pytest.raises(InputError, match=r"cannot cover frames of 40×40; export it with another size"):
        localizer.rows(np.zeros((1, 40, 40)), radius_voxels=20)
    with pytest.raises(InputError, match="precision bfloat16"):
        Localizer(path, precision="bfloat16")
    with pytest.raises(InputError, match=r"memory_gb 0\.5: too little"):
        Localizer(path, memory_gb=0.5).rows(frames())


@TFLITE
def test_the_commands(ds3d, networks, tmp_path):
    """`ds3d export`, with the former name of its option, and `ds3d localize` on a .tflite and its table."""
    folder, expected = networks["project_01"]

    arguments = ["--run", folder / "run", "--to", "tflite", "--out", tmp_path / "a.tflite", "--tile", 40, 74]
    arguments += ["--frames", folder / "frames.tif", "--check", 1]
    done = ds3d("export", *arguments)
    assert done.returncode == 0, done.stderr
    for part in ("100.00% within 0.5 nm", "0 lost, 0 added", "largest difference", "TensorFlow beside it", "MB"):
        assert part in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tflite", "a.tflite.json"]
    again = ds3d("export", *arguments)
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "--overwrite" in again.stderr
    localize(tmp_path / "a.tflite", folder / "frames.tif", tmp_path / "a.csv")
    assert len(read_table(tmp_path / "a.csv")) == sum(map(len, expected))


MISTAKES = {
    "format": ({"to": "matlab"}, "to matlab: expected saved_model, tflite"),
    "weights": ({"to": "tflite", "weights": "int4"}, "weights int4: expected float32"),
    "weights elsewhere": ({"to": "onnx", "weights": "int8"}, "weights int8: only for tflite; onnx keeps float32"),
    "tile elsewhere": ({"to": "saved_model", "tile_px": (9, 9)}, "tile_px: only for tflite"),
    "no tile": ({"to": "tflite", "out": "a.tflite", "tile_px": (0, 9)}, "tile_px 0 9: expected 1 or more"),
    "small tile": ({"to": "tflite", "out": "a.tflite", "tile_px": (26, 40)}, r"too small.*at least 27"),
    "no frames": ({"to": "onnx", "check": 0}, "check 0: expected 1 or more"),
    "sample": ({"to": "saved_model", "sample": -1}, "sample -1: expected 0 or more"),
    "ending": ({"to": "onnx", "out": "a.tflite"}, r"ends in \.onnx"),
    "run": ({"to": "onnx", "model": "no/where", "out": "a.onnx"}, "no such model folder"),
    "small frames": ({"to": "tflite", "out": "a.tflite", "tile_px": (62, 74)}, "smaller than the tile of 62×74"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_give_one_line_and_leave_nothing(networks, tmp_path, kind):
    options, expected = MISTAKES[kind]
    if kind == "small frames" and importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("ai_edge_litert not installed")
    folder = networks["factors"][0]
    arguments = {"model": folder / "run", "frames": folder / "frames.tif", "out": "a", **options}
    arguments["out"] = tmp_path / arguments["out"]
    with pytest.raises(InputError, match=expected) as caught:
        job.export(**arguments)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
