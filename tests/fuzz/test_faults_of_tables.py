"""Tables on disks that fail at every change, and in processes that die there: whole, or resumed to the same."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pandas as pd
import pytest
import tifffile
from fault_layer import Killed, changes_of

from ds3d_tf.common import InputError
from ds3d_tf.common.lock import only_process
from ds3d_tf.localization.frames.read_ahead import read_ahead
from ds3d_tf.localization.frames.source import open_frames
from ds3d_tf.localization.recording.batches import Finished
from ds3d_tf.localization.recording.fill import check_outputs, fill_table, finished_by_a_killed_process
from ds3d_tf.localization.recording.identity import checksums, open_table, recording_facts
from ds3d_tf.localization.tables.tables import COLUMNS, REFINED_COLUMNS
from ds3d_tf.setup import load_setup

FRAMES = np.random.default_rng(0).poisson(100, (4, 12, 12)).astype(np.uint16)
resource = pytest.importorskip("resource", reason="needs limits of the operating system")
SETUP = load_setup("quickstart_voxel")
FORMATS = (".csv", ".parquet", ".hdf5")


class Rows:
    """Stands for localizations: rows that follow from the frames."""

    def __init__(self, batch, refined) -> None:
        self.batch, self.columns = batch, COLUMNS + (REFINED_COLUMNS if refined else ())

    def to_dataframe(self):
        values = [
            {
                name: float(index + 1 if name == "frame" else frame[k, k] + place)
                for place, name in enumerate(self.columns)
            }
            for index, frame in zip(self.batch.indices, self.batch.frames, strict=True)
            for k in range(3)
        ]
        return pd.DataFrame(values, columns=self.columns).astype({"frame": int})


def job(folder, ending, refined=False):
    """What ``ds3d localize`` does about files, without a network."""
    out, recording = check_outputs(folder / f"out{ending}", False), folder / "run.tif"
    source = open_frames(recording)
    with only_process(folder / "out.partial.lock", "out"):
        done = finished_by_a_killed_process(out, False, recording_facts({}, recording, source))
        if done is not None:
            return
        columns = COLUMNS + (REFINED_COLUMNS if refined else ())
        table = open_table(out, {}, recording, source, columns=columns)
        parts = (
            Finished(batch.first + batch.count, Rows(batch, refined), batch.damaged, checksums(batch))
            for batch in read_ahead(source, 2, start=table.next_frame)
        )
        fill_table(parts, source, table, SETUP, out)


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Make a folder with a recording; every batch is a chunk."""
    monkeypatch.setenv("DS3D_SECONDS_BETWEEN_CHUNKS", "0")
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nobody cuts the power here, and it takes most of the time
    numbers = itertools.count()

    def make():
        folder = tmp_path / f"{next(numbers)}"
        folder.mkdir()
        tifffile.imwrite(folder / "run.tif", FRAMES, photometric="minisblack")
        return folder

    return make


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.tif"}


def undisturbed(fresh, ending, refined):
    folder = fresh()
    with changes_of(folder, None) as changes:
        job(folder, ending, refined)
    assert f"out{ending}" in contents(folder)
    return contents(folder), changes.count


@pytest.mark.parametrize(("ending", "refined"), [*itertools.product(FORMATS, [False]), (".csv", True)])
@pytest.mark.parametrize("full", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_change_fails_once(fresh, ending, refined, full):
    expected, count = undisturbed(fresh, ending, refined)
    assert count > 8
    for failing in range(count):
        folder = fresh()
        with changes_of(folder, failing, full=full) as changes:
            try:
                job(folder, ending, refined)
            except InputError as error:
                assert "\n" not in str(error) and "cannot write" in str(error), failing
            else:
                assert changes.count > failing
        if contents(folder) != expected:
            job(folder, ending, refined)  # room was made
        assert contents(folder) == expected, failing


@pytest.mark.parametrize(("ending", "refined"), [*itertools.product(FORMATS, [False]), (".hdf5", True)])
def test_the_process_dies_at_every_change(fresh, ending, refined):
    expected, count = undisturbed(fresh, ending, refined)
    for dying in range(count):
        folder = fresh()
        with pytest.raises(Killed), changes_of(folder, dying, kill=True):
            job(folder, ending, refined)
        job(folder, ending, refined)
        assert contents(folder) == expected, dying


@pytest.mark.parametrize("ending", FORMATS)
def test_no_room_at_any_byte(fresh, ending):
    """For libraries that write below Python: no file may grow beyond a number of bytes."""
    expected, _ = undisturbed(fresh, ending, False)
    largest = max(map(len, expected.values()))
    for size in range(0, largest, max(largest // 16, 1)):
        folder, before = fresh(), resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
            with pytest.raises(InputError, match="cannot write"):
                job(folder, ending)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        job(folder, ending)
        assert contents(folder) == expected, size
