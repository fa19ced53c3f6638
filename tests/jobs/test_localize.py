"""`ds3d localize`: tables known by hand, interruptions, and one line for every mistake."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import tifffile

from ds3d_tf.common.errors import InputError
from ds3d_tf.evaluation.comparison import compare
from ds3d_tf.evaluation.metrics import metrics
from ds3d_tf.jobs.localize import localize as localize_job
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.localization.tables.tables import COLUMNS, REFINED_COLUMNS, read_table

# The network alone: its answers are known by hand.
localize = functools.partial(localize_job, refine=False)

SHAPE = (20, 26)


def recording(count, seed=0):
    """Frames with one to three bright pixels each (none in every fifth), and the table they give."""
    rng = np.random.default_rng(seed)
    frames, rows = np.full((count, *SHAPE), 5, np.uint16), []
    for index in range(count):
        places = rng.permutation(24)[: 0 if index % 5 == 4 else rng.integers(1, 4)]
        for place in sorted(places):
            row, column, voxel = 2 + 4 * (place // 6), 2 + 4 * (place % 6), int(rng.integers(2, 8))
            frames[index, row, column] += 100 * voxel + 50
            z_nm = (voxel + 0.5) * 250
            rows.append([index + 1, (column + 0.5) * 110, (row + 0.5) * 110, z_nm, 100 * voxel + 50])
    return frames, np.array(rows)


@pytest.fixture
def stack(tmp_path):
    frames, rows = recording(40)
    tifffile.imwrite(tmp_path / "stack.tif", frames)
    return tmp_path / "stack.tif", rows


# A process of its own: for signals, and where the environment at its start matters.
COMMAND = [sys.executable, "-m", "ds3d_tf", "localize", "--no-refine"]


def test_the_command(ds3d, model_folder, stack, tmp_path):
    path, rows = stack
    out = tmp_path / "out" / "table.csv"
    done = ds3d("localize", "--no-refine", "--model", model_folder, "--frames", path, "--out", out)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(read_table(out), rows, atol=1e-3)
    assert [entry.name for entry in out.parent.iterdir()] == ["table.csv"]
    for part in ("40/40", "frames/s", "localizations in 40 frames", "median confidence"):
        assert part in done.stderr
    again = ds3d("localize", "--no-refine", "--model", model_folder, "--frames", path, "--out", out)
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_do_not_matter(model_folder, stack, tmp_path, batch):
    path, rows = stack
    done = localize(model_folder, path, tmp_path / "a.csv", batch_size=batch)
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), rows, atol=1e-3)
    assert (done.frames, done.localizations, done.resumed_at) == (40, len(rows), 0)


def test_threshold_and_radius(model_folder, tmp_path):
    frame = np.full(SHAPE, 5, np.float32)
    frame[8, 8] += 350
    frame[8, 10] += 320
    frame[14, 20] += 80
    tifffile.imwrite(tmp_path / "f.tif", frame)
    counts = [
        localize(model_folder, tmp_path / "f.tif", tmp_path / "a.csv", overwrite=True, **options).localizations
        for options in ({}, {"threshold": 50}, {"threshold": 330}, {"radius_voxels": 8})
    ]
    assert counts == [2, 3, 1, 1]


def test_a_recording_without_emitters(model_folder, tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", np.full((3, *SHAPE), 5, np.uint8), photometric="minisblack")
    done = localize(model_folder, tmp_path / "f.tif", tmp_path / "a.csv", plots=True)
    assert done.localizations == 0 and done.median_confidence is None
    assert len(read_table(tmp_path / "a.csv")) == 0
    assert "0 localizations in 3 frames" in done.summary()


@pytest.mark.parametrize("ending", ["parquet", "hdf5"])
def test_other_formats(model_folder, stack, tmp_path, ending):
    path, rows = stack
    localize(model_folder, path, tmp_path / f"a.{ending}")
    if ending == "parquet":
        np.testing.assert_allclose(pd.read_parquet(tmp_path / "a.parquet"), rows, atol=1e-3)
    else:
        import h5py

        with h5py.File(tmp_path / "a.hdf5") as file:
            np.testing.assert_allclose(file["locs"]["x"] * 110 + 55, rows[:, 1], atol=1e-2)
        assert "Width: 26" in (tmp_path / "a.yaml").read_text()


def test_figures(model_folder, tmp_path):
    """Of the first frames of a recording; of the first one also the scatter and the regenerated frame."""
    frames, _ = recording(5)
    tifffile.imwrite(tmp_path / "many.tif", frames)
    tifffile.imwrite(tmp_path / "one.tif", frames[0])
    many = localize(model_folder, tmp_path / "many.tif", tmp_path / "many.csv", plots=True)
    names = ["frame_1.png", "scatter.png", "regenerated.png", "frame_2.png", "frame_3.png"]
    assert [path.name for path in many.figures] == names
    one = localize(model_folder, tmp_path / "one.tif", tmp_path / "one.csv", plots=True)
    assert [path.name for path in one.figures] == ["frame_1.png", "scatter.png", "regenerated.png"]
    for path in many.figures + one.figures:
        assert path.read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "one_plots" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="did not write"):
        localize(model_folder, tmp_path / "one.tif", tmp_path / "one.csv", plots=True, overwrite=True)


def test_damaged_frames(model_folder, stack, tmp_path, capfd):
    frames, rows = recording(6)
    folder = tmp_path / "run"
    folder.mkdir()
    for index, frame in enumerate(frames):
        tifffile.imwrite(folder / f"{index + 1}.tif", frame)
    (folder / "3.tif").write_bytes((folder / "3.tif").read_bytes()[:-300])
    with pytest.raises(InputError, match=r"3\.tif.*truncated"):
        localize(model_folder, folder, tmp_path / "a.csv")
    assert not list(tmp_path.glob("a.*"))
    done = localize(model_folder, folder, tmp_path / "a.csv", skip_damaged=True)
    assert len(done.damaged) == 1 and "1 damaged frames skipped" in done.summary()
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), rows[rows[:, 0] != 3], atol=1e-3)
    assert "frame 3 skipped" in (tmp_path / "a.log").read_text() and "3.tif" in (tmp_path / "a.log").read_text()
    assert "skipped" in capfd.readouterr().err


def test_a_folder_with_files_that_are_none(model_folder, tmp_path):
    frames, rows = recording(4)
    folder = tmp_path / "run"
    folder.mkdir()
    for index, frame in enumerate(frames):
        tifffile.imwrite(folder / f"{index + 1}.tif", frame)
    (folder / "1.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"1\.tif: the file is empty"):
        localize(model_folder, folder, tmp_path / "a.csv")
    localize(model_folder, folder, tmp_path / "a.csv", skip_damaged=True)
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), rows[rows[:, 0] != 1], atol=1e-3)


def test_memory_does_not_grow_with_the_recording(model_folder, tmp_path, monkeypatch):
    from ds3d_tf.localization.tables.growing import GrowingTable

    frames, _ = recording(500)
    with tifffile.TiffWriter(tmp_path / "long.tif") as writer:
        for _ in range(10):
            for frame in frames:
                writer.write(frame, contiguous=True)
    pages = {}
    append = GrowingTable.append

    def measuring(self, rows, next_frame, *rest):
        append(self, rows, next_frame, *rest)
        with open("/proc/self/statm") as stream:
            pages[next_frame] = int(stream.read().split()[1])

    monkeypatch.setattr(GrowingTable, "append", measuring)
    monkeypatch.setenv("DS3D_SECONDS_BETWEEN_CHUNKS", "0.1")
    done = localize(model_folder, tmp_path / "long.tif", tmp_path / "a.csv", batch_size=20)
    assert done.frames == 5000
    assert pages[5000] == pytest.approx(pages[500], rel=0.05)


def test_killed_processes_leave_a_table_that_is_gone_on_with(model_folder, tmp_path):
    """kill -9 at several moments; the table in the end is an undisturbed run's."""
    frames, rows = recording(1200, seed=1)
    tifffile.imwrite(tmp_path / "long.tif", frames)
    arguments = ["--model", model_folder, "--frames", tmp_path / "long.tif", "--out", tmp_path / "a.csv", "--batch", 1]
    line = [*COMMAND, *map(str, arguments)]
    quick = {**os.environ, "DS3D_SECONDS_BETWEEN_CHUNKS": "0.05"}
    state = tmp_path / "a.partial.json"
    done = []
    for frames_more in (20, 150, 60):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quick)
        wanted = (done[-1] if done else 0) + frames_more
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and (
            not state.exists() or json.loads(state.read_text())["next_frame"] < wanted
        ):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done.append(json.loads(state.read_text())["next_frame"])
        assert not (tmp_path / "a.csv").exists()
    assert done == sorted(set(done)) and done[-1] < 1200
    last = subprocess.run(line, capture_output=True, text=True, check=False, env=quick)
    assert last.returncode == 0, last.stderr
    assert f"resuming at frame {done[-1] + 1} of 1200" in last.stderr
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), rows, atol=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "long.tif"]


def test_ctrl_c_keeps_what_was_done(model_folder, tmp_path):
    frames, rows = recording(1200, seed=1)
    tifffile.imwrite(tmp_path / "long.tif", frames)
    arguments = ["--model", model_folder, "--frames", tmp_path / "long.tif", "--out", tmp_path / "a.csv", "--batch", 1]
    line = [*COMMAND, *map(str, arguments)]
    quick = {**os.environ, "DS3D_SECONDS_BETWEEN_CHUNKS": "0.05"}
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=quick)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (tmp_path / "a.partial.json").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "run the same command again to resume" in message
    assert "Traceback" not in message
    localize(model_folder, tmp_path / "long.tif", tmp_path / "a.csv")
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), rows, atol=1e-3)


def test_the_table_of_another_job_is_refused(model_folder, stack, tmp_path):
    from ds3d_tf.localization.tables.growing import GrowingTable
    from ds3d_tf.localization.tables.tables import to_table
    from ds3d_tf.setup import Setup

    other = GrowingTable(tmp_path / "a.csv", {"recording": "/another"}, seconds=0)
    other.append(to_table([1], [[0, 0, 0]], [9], SHAPE, Setup.create({})), 1)
    before = other.rows_file.read_bytes()
    with pytest.raises(InputError, match="another job"):
        localize(model_folder, stack[0], tmp_path / "a.csv")
    assert other.rows_file.read_bytes() == before and not (tmp_path / "a.csv").exists()
    localize(model_folder, stack[0], tmp_path / "a.csv", overwrite=True)
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), stack[1], atol=1e-3)


def plain(folder, shape=(9, 9)):
    tifffile.imwrite(folder / "f.tif", np.zeros(shape, np.uint8))


def rgb(folder):
    tifffile.imwrite(folder / "f.tif", np.zeros((30, 30, 3), np.uint8), photometric="rgb")


def with_nan(folder):
    frame = np.zeros((2, 30, 30), np.float32)
    frame[1, 4, 4] = np.nan
    tifffile.imwrite(folder / "f.tif", frame, photometric="minisblack")


def truncated(folder):
    tifffile.imwrite(folder / "f.tif", np.zeros((30, 30), np.uint16))
    (folder / "f.tif").write_bytes((folder / "f.tif").read_bytes()[:-100])


MISTAKES = {
    "missing": (lambda folder: None, {}, "no such file or folder"),
    "empty": (lambda folder: (folder / "f.tif").write_bytes(b""), {}, "f.tif: the file is empty"),
    "no tiff": (lambda folder: (folder / "f.tif").write_text("hello, I am text"), {}, "not a TIFF"),
    "truncated": (truncated, {}, "truncated"),
    "nan": (with_nan, {}, "page 2: 1 of 900 pixels are NaN"),
    "rgb": (rgb, {}, "colour image"),
    "small": (
        lambda folder: plain(folder, (2, 9)),
        {},
        "smaller than half the network's receptive field",
    ),
    "no model": (
        plain,
        {"model": "nowhere"},
        "no such model",
    ),
    "empty model": (
        plain,
        {"model": "."},
        "not a model folder",
    ),
    "threshold": (
        plain,
        {"threshold": 800.0},
        "threshold 800",
    ),
    "negative threshold": (
        plain,
        {"threshold": -1.0},
        "threshold -1",
    ),
    "radius": (plain, {"radius_voxels": 0}, "radius_voxels 0"),
    "batch": (plain, {"batch_size": 0}, "batch_size 0"),
    "precision": (plain, {"precision": "float16"}, "precision float16: expected float32 or bfloat16"),
    "no bfloat16": (plain, {"precision": "bfloat16"}, "exported with float32 only"),
    "negative memory": (plain, {"memory_gb": -1.0}, "memory_gb -1"),
    "too little memory": (plain, {"memory_gb": 0.7}, "memory_gb 0.7: too little"),
    "ending": (plain, {"out": "a.xlsx"}, "name ends in"),
    "unwritable": (
        lambda folder: (plain(folder), (folder / "file").write_text("")),
        {"out": "file/a.csv"},
        "not a writable folder",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_give_one_line_and_leave_nothing(model_folder, tmp_path, kind):
    make, options, expected = MISTAKES[kind]
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    options = {key: tmp_path / value if key in ("out", "model") else value for key, value in options.items()}
    arguments = {"model": model_folder, "frames": tmp_path / "f.tif", "out": tmp_path / "a.csv", **options}
    with pytest.raises(InputError, match=expected) as caught:
        localize(**arguments)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_table_that_another_process_writes(model_folder, tmp_path):
    from ds3d_tf.common.lock import only_process

    plain(tmp_path)
    with only_process(tmp_path / "a.partial.lock", "the other"):
        with pytest.raises(InputError, match=r"a\.csv is being written by another process .*choose another name"):
            localize(model_folder, tmp_path / "f.tif", tmp_path / "a.csv", overwrite=True)
        localize(model_folder, tmp_path / "f.tif", tmp_path / "b.csv")
    localize(model_folder, tmp_path / "f.tif", tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv", "f.tif"]


def test_a_mistake_is_one_line_even_when_the_bar_has_begun(ds3d, model_folder, tmp_path):
    with_nan(tmp_path)
    arguments = ["--model", model_folder, "--frames", tmp_path / "f.tif", "--out", tmp_path / "a.csv", "--batch", 1]
    done = ds3d("localize", "--no-refine", *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and "page 2" in done.stderr
    assert not list(tmp_path.glob("a.*"))


def test_a_frame_of_real_size_gives_the_reference_localizations(data, tmp_path):
    """Part of a real frame with published weights, through the table and back: all within 2 nm of the reference.

    A crop sees what the whole frame shows only where it is the network's receptive field away from its border.
    """
    pytest.importorskip("torch")
    from ds3d_tf.export.saved_model import export_saved_model
    from ds3d_tf.localization.tables.tables import from_table
    from ds3d_tf.model.torch_weights import network_from_state, read_state
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.setup import load_setup

    setup = load_setup("demo2", ["volume.grid=half_pixel_shifted"])
    network = network_from_state(read_state(data / "weights" / "tetrapod_storm_demo2.pkl"))
    export_saved_model(network, setup, load_mask(setup), tmp_path / "model")
    whole = tifffile.imread(data / "frames" / "tetrapod_storm" / "1.tif")
    rows, columns = slice(40, 161), slice(80, 281)
    tifffile.imwrite(tmp_path / "crop.tif", whole[rows, columns])
    done = localize(tmp_path / "model", tmp_path / "crop.tif", tmp_path / "a.csv", threshold=40, radius_voxels=4)
    shape = (121, 201)
    _, found, confidence = from_table(read_table(tmp_path / "a.csv"), shape, setup)
    # From the centre pixel of the crop to that of the whole frame.
    shift_px = np.array([80 + 201 // 2 - whole.shape[1] // 2, 40 + 121 // 2 - whole.shape[0] // 2, 0])
    found += shift_px * setup.optics.pixel_um
    reference = pd.read_csv(data / "golden" / "tetrapod_storm_reference.csv").query("frame == 1")
    pixel = reference[["x_um", "y_um"]].to_numpy() / 0.11 + np.array(whole.shape[::-1]) // 2
    inside = ((pixel > [80 + 36, 40 + 36]) & (pixel < [281 - 36, 161 - 36])).all(1)
    expected = reference[inside][["x_um", "y_um", "z_um"]].to_numpy()
    assert len(expected) >= 8 and done.localizations >= len(expected)
    error = np.abs(expected[:, None] - found[None]).max(-1)
    assert error.min(1).max() < 2e-3
    np.testing.assert_allclose(confidence[error.argmin(1)], reference[inside]["confidence"], atol=0.1)
    shutil.rmtree(tmp_path / "model")


def test_the_shipped_model_is_refined_unless_it_is_told_not_to(tmp_path, repository):
    """More of the true emitters, nearer to them, with photons; in batches of any size, and resumed, the same bytes."""
    model = repository / "exported_models" / "tetrapod_4um" / "1"
    sample = model / "sample"
    frames = tifffile.imread(sample / "frames.tif")[:7]
    tifffile.imwrite(tmp_path / "f.tif", frames, photometric="minisblack")
    truth = pd.read_csv(sample / "truth.csv").query("frame <= 7")
    setup = Localizer(model).setup
    score = {}
    for name, options in {"refined": {}, "alone": {"refine": False}, "single": {"batch_size": 1}}.items():
        localize_job(model, tmp_path / "f.tif", tmp_path / f"{name}.csv", **options)
        found = Localizations.read(tmp_path / f"{name}.csv", frames.shape[1:], setup)
        matched = compare(
            [truth[truth["frame"] == n][["x_um", "y_um", "z_um"]].to_numpy() for n in range(1, 8)],
            [found.of_frame(n).xyz_um for n in range(1, 8)],
        )
        score[name] = metrics(matched)
    assert score["refined"]["jaccard"] > score["alone"]["jaccard"] and score["refined"]["jaccard"] > 0.85
    assert score["refined"]["rmse_lateral_nm"] < score["alone"]["rmse_lateral_nm"]
    assert (tmp_path / "single.csv").read_bytes() == (tmp_path / "refined.csv").read_bytes()
    table = read_table(tmp_path / "refined.csv")
    assert list(table.columns[5:]) == list(REFINED_COLUMNS) and list(read_table(tmp_path / "alone.csv")) == list(
        COLUMNS
    )
    assert (table["uncertainty_z [nm]"] > 0).all() and table["intensity [photon]"].between(500, 60000).all()


def test_a_model_whose_mask_cannot_be_used_is_not_refined(model_folder, stack, tmp_path, capfd):
    shutil.copytree(model_folder, tmp_path / "model")
    np.save(tmp_path / "model" / "assets" / "mask.npy", np.zeros((3, 5)))
    with pytest.raises(InputError, match="refine: "):
        localize_job(tmp_path / "model", stack[0], tmp_path / "a.csv", refine=True)
    localize_job(tmp_path / "model", stack[0], tmp_path / "a.csv")
    assert "not refined: " in capfd.readouterr().err and list(read_table(tmp_path / "a.csv")) == list(COLUMNS)
