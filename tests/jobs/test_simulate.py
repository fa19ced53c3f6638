"""`ds3d simulate`: what it leaves, and what it refuses."""

from __future__ import annotations

import pytest
import tifffile

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.simulate import simulate
from ds3d_tf.setup import load_setup

SMALL = ["volume.height_px=24", "volume.width_px=28"]


def test_command_writes_a_data_set(ds3d, tmp_path):
    out = tmp_path / "set"
    sets = [part for change in SMALL for part in ("--set", change)]
    done = ds3d("simulate", "--setup", "quickstart_voxel", "--out", out, "--count", 9, "--seed", 3, *sets)
    assert done.returncode == 0, done.stderr
    assert "9 frames (rounded to uint16)" in done.stderr
    assert "9/9" in done.stderr
    assert sorted(path.name for path in out.iterdir() if path.name != ".ds3d.json") == [
        "frames.tif",
        "mask.npy",
        "preview.png",
        "setup.yaml",
        "truth.csv",
    ]
    again = ds3d("simulate", "--setup", "quickstart_voxel", "--out", out, "--count", 2)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "--overwrite" in again.stderr
    assert tifffile.imread(out / "frames.tif").shape == (9, 24, 28)


def test_mistakes_leave_nothing_behind(tmp_path):
    setup = load_setup("quickstart_voxel", SMALL)
    out = tmp_path / "set"
    for arguments, message in (
        ({"count": 0}, "count 0"),
        ({"count": 1, "seed": -1}, "seed -1"),
        ({"count": 1, "emitter_count": -1}, "emitter_count -1"),
    ):
        with pytest.raises(InputError, match=message):
            simulate(setup, out, **arguments)
    with pytest.raises(InputError, match="mask file not found"):
        simulate(setup.replace({"mask.source": "absent.npy"}), out, count=1)
    assert list(tmp_path.iterdir()) == []


def test_overwriting_spares_other_folders(tmp_path):
    setup = load_setup("quickstart_voxel", SMALL)
    simulate(setup, tmp_path / "set", count=1)
    assert simulate(setup, tmp_path / "set", count=2, emitter_count=3, overwrite=True).emitters == 6
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "truth.csv").write_text("mine")
    with pytest.raises(InputError, match="was not written by `ds3d simulate`"):
        simulate(setup, tmp_path / "thesis", count=1, overwrite=True)
