"""`ds3d prepare`: the minimum projection of recordings in every format, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
import zarr

from ds3d_tf.calibration.preparation import minimum_projection
from ds3d_tf.common import InputError
from ds3d_tf.jobs.prepare import prepare
from ds3d_tf.localization.frames.source import open_frames


def blinking(count: int = 24, dtype: type = np.uint16) -> np.ndarray:
    rng = np.random.default_rng(0)
    structure = 100 + 60 * np.hypot(*np.mgrid[-1:1:20j, -1:1:26j])
    return rng.poisson(structure + 400 * (rng.random((count, 20, 26)) < 0.02)).astype(dtype)


def written(tmp_path: Path, form: str, frames: np.ndarray) -> Path:
    path = tmp_path / f"raw_{form}"
    if form == "folder":
        path.mkdir()
        for number, frame in enumerate(frames, start=1):
            tifffile.imwrite(path / f"{number}.tif", frame)
    elif form == "ome":
        path = path.with_suffix(".ome.tif")
        tifffile.imwrite(path, frames, metadata={"axes": "TYX"})
    elif form == "zarr":
        array = zarr.open(path, mode="w", shape=frames.shape, dtype=frames.dtype, chunks=(7, 20, 26))
        array[:] = frames
    else:
        path = path.with_suffix(".tif")
        tifffile.imwrite(path, frames)
    return path


@pytest.mark.parametrize("form", ["pages", "ome", "folder", "zarr"])
def test_every_format(tmp_path: Path, form: str) -> None:
    frames = blinking()
    done = prepare(written(tmp_path, form, frames), tmp_path / "out")
    stored = tifffile.imread(tmp_path / "out" / "prepared.tif")
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored, frames - frames.min(axis=0))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "minimum.tif"), frames.min(axis=0))
    assert len(open_frames(tmp_path / "out" / "prepared.tif")) == 24
    assert done.mean_counts == pytest.approx(stored.mean(), abs=1e-3)
    report = yaml.safe_load((tmp_path / "out" / "prepare.yaml").read_text())
    assert report["minimum_counts"]["mean"] == pytest.approx(frames.min(axis=0).mean(), abs=1e-3)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.name != ".ds3d.json"} == {
        "prepared.tif",
        "minimum.tif",
        "minimum.png",
        "prepared.png",
        "prepare.yaml",
    }


def test_fractions_and_large_steps_stay_exact(tmp_path: Path) -> None:
    frames = blinking(dtype=np.float32) / 8
    prepare(written(tmp_path, "pages", frames), tmp_path / "out")
    stored = tifffile.imread(tmp_path / "out" / "prepared.tif")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, frames - frames.min(axis=0))


def test_dark_frames_are_named_and_left_out(tmp_path: Path) -> None:
    frames = blinking()
    frames[[0, 7]] = 3
    path = written(tmp_path, "pages", frames)
    assert any("--skip 1,8" in remark for remark in prepare(path, tmp_path / "a").remarks)
    done = prepare(path, tmp_path / "b", skip=[1, 8])
    assert not any("darker" in remark for remark in done.remarks)
    lit = np.delete(frames, [0, 7], axis=0).min(axis=0)
    stored = tifffile.imread(tmp_path / "b" / "prepared.tif")
    np.testing.assert_array_equal(stored, np.maximum(frames.astype(int) - lit, 0))


def test_minimum_of_another_recording(tmp_path: Path) -> None:
    frames = blinking(60)
    prepare(written(tmp_path, "pages", frames), tmp_path / "long")
    minimum = tmp_path / "long" / "minimum.tif"
    short = tmp_path / "short.tif"
    tifffile.imwrite(short, frames[:2])
    prepare(short, tmp_path / "out", minimum=minimum)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "prepared.tif"), frames[:2] - frames.min(axis=0))
    tifffile.imwrite(tmp_path / "small.tif", frames[0, :5])
    with pytest.raises(InputError, match="5×26 pixels, but the recording has 20×26"):
        prepare(short, tmp_path / "again", minimum=tmp_path / "small.tif")
    with pytest.raises(InputError, match="60 planes; expected one"):
        prepare(short, tmp_path / "again", minimum=tmp_path / "raw_pages.tif")


def test_frames_are_read_one_at_a_time(tmp_path: Path) -> None:
    class Counted:
        where, shape = "somewhere", (4, 5)

        def __init__(self) -> None:
            self.alive = self.most = 0

        def __len__(self) -> int:
            return 500

        def __iter__(self):
            for index in range(500):
                yield np.full(self.shape, 500 - index, np.float32)

    projection = minimum_projection(Counted())  # type: ignore[arg-type]
    np.testing.assert_array_equal(projection.image, 1)
    np.testing.assert_array_equal(projection.largest, 500)
    assert projection.means.tolist() == list(range(500, 0, -1))


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        (blinking(6), {}, "6 frames; .* at least 10"),
        (np.full((12, 9, 9), 7, np.uint16), {}, "all frames are the same"),
        (blinking(12), {"skip": [13]}, "skip 13: frames are numbered from 1 to 12"),
        (blinking(12), {"skip": [1, 2, 3]}, "9 frames"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, frames: np.ndarray, options: dict, message: str) -> None:
    path = written(tmp_path, "pages", frames)
    with pytest.raises(InputError, match=message):
        prepare(path, tmp_path / "out", **options)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_truncated_recording_leaves_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "folder", blinking(12))
    (path / "9.tif").write_bytes((path / "9.tif").read_bytes()[:300])
    with pytest.raises(InputError, match=r"9\.tif"):
        prepare(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_command_line(tmp_path: Path, ds3d) -> None:
    path = written(tmp_path, "pages", blinking())
    command = ["prepare", "--frames", path, "--out"]
    done = ds3d(*command, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "24/24" in done.stderr and "may still hold emitters" in done.stderr
    again = ds3d(*command, tmp_path / "out")
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "--overwrite" in again.stderr
    other = ds3d(*command, tmp_path, "--overwrite")
    assert other.returncode == 2 and "was not written by `ds3d prepare`" in other.stderr
    assert path.exists()
