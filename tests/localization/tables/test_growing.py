"""The growing table: after any interruption the same job goes on and every frame is there once."""

import errno
import json
import os

import numpy as np
import pandas as pd
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.localization.tables import growing as growing_table
from ds3d_tf.localization.tables.growing import GrowingTable
from ds3d_tf.localization.tables.tables import COLUMNS, read_table

IDENTITY = {"recording": "/data/run 1", "threshold": 40.0, "number of frames": 9}


def rows(*frames):
    return pd.DataFrame({name: np.array(frames, float) for name in COLUMNS}).astype({"frame": int})


def test_goes_on_where_it_stopped(tmp_path):
    first = GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0)
    first.append(rows(1, 1, 2), 2)
    first.append(rows(), 3, {2: "damaged"})
    second = GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0)
    assert (second.next_frame, second.rows, second.damaged) == (3, 3, {2: "damaged"})
    second.append(rows(4), 4)
    assert read_table(second.rows_file)["frame"].tolist() == [1, 1, 2, 4]
    second.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_beyond_the_last_chunk_is_cut_off(tmp_path):
    """As a process leaves it that is killed between writing rows and saying so."""
    table = GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0)
    table.append(rows(1, 2), 2)
    with open(table.rows_file, "a") as stream:
        stream.write("3,1.000,2.0")
    table = GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0)
    assert table.next_frame == 2
    table.append(rows(3), 3)
    assert read_table(table.rows_file)["frame"].tolist() == [1, 2, 3]


def test_chunks_wait_for_their_time(tmp_path):
    table = GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=3600)
    table.append(rows(1, 2), 2)
    assert list(tmp_path.iterdir()) == [] and not table.on_disk
    table.commit()
    assert len(read_table(table.rows_file)) == 2 and table.on_disk


def test_rows_without_their_state_are_begun_again(tmp_path):
    (tmp_path / "out.partial.csv").write_text("frame,x [nm]\n1,2\n3")
    table = GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0)
    table.append(rows(1), 1)
    assert len(read_table(table.rows_file)) == 1


@pytest.mark.parametrize(
    "change", [{"recording": "/data/run 2"}, {"threshold": 41.0}, {"model": "another"}, {"number of frames": 8}]
)
def test_another_job_is_refused_and_nothing_overwritten(tmp_path, change):
    GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0).append(rows(1, 2), 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=f"of another {next(iter(change))}.*--overwrite") as caught:
        GrowingTable(tmp_path / "out.csv", {**IDENTITY, **change})
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert GrowingTable(tmp_path / "out.csv", {**IDENTITY, **change}, overwrite=True).next_frame == 0


def test_overwrite_goes_on_with_the_same_job(tmp_path):
    GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0).append(rows(1, 2), 2)
    assert GrowingTable(tmp_path / "out.csv", IDENTITY, overwrite=True).next_frame == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"identity": IDENTITY, "valid_bytes": 10**9})])
def test_damaged_state_is_refused(tmp_path, content):
    table = GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0)
    table.append(rows(1), 1)
    table.state_file.write_text(content)
    with pytest.raises(InputError, match="damaged"):
        GrowingTable(tmp_path / "out.csv", IDENTITY)


@pytest.mark.parametrize("step", ["rows", "state"])
def test_disk_full_leaves_the_last_chunk_readable(tmp_path, monkeypatch, step):
    table = GrowingTable(tmp_path / "out.csv", IDENTITY, seconds=0)
    table.append(rows(1, 2), 2)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "rows":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(growing_table.json, "dump", full)
    with pytest.raises(InputError, match=r"No space left on device.*holds what was finished before"):
        table.append(rows(3, 4, 5), 5)
    monkeypatch.undo()
    assert read_table(table.rows_file)["frame"].tolist() == [1, 2]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out.partial.csv", "out.partial.json"]
    assert GrowingTable(tmp_path / "out.csv", IDENTITY).next_frame == 2
