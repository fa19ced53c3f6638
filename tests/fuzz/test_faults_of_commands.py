"""Commands after localization on disks that fail at every change, and in processes that die there."""

from __future__ import annotations

import itertools
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from fault_layer import Killed, changes_of

from ds3d_tf.common import InputError
from ds3d_tf.common.files import whole_file
from ds3d_tf.jobs.drift import drift
from ds3d_tf.jobs.filter import filter
from ds3d_tf.jobs.group import group
from ds3d_tf.jobs.render import render
from ds3d_tf.jobs.run import run
from ds3d_tf.setup import load_setup

SIGMA = 10.0


def molecules():
    """Blinks of molecules that stay in their places, over 400 frames."""
    rng = np.random.default_rng(0)
    places = rng.uniform((500, 500, 0), (6500, 6500, 600), (120, 3))
    rows = [
        (frame + 1, *(place + rng.normal(0, SIGMA, 3) + 0.05 * frame))
        for place in places
        for first in rng.integers(0, 398, 8)
        for frame in (first, first + 1)
    ]
    table = pd.DataFrame(rows, columns=["frame", "x [nm]", "y [nm]", "z [nm]"]).sort_values("frame", kind="stable")
    table["intensity [photon]"] = 2000.0
    for name in ("uncertainty [nm]", *(f"uncertainty_{axis} [nm]" for axis in "xyz")):
        table[name] = SIGMA
    return table.round(3)


TABLE = molecules()
PLAN = "drift: false\nquality: false\nrender: false\nreport: false\nfilter: {keep: ['z<500']}\n"


def whole_run(folder):
    run(folder / "in.tif", "tetrapod_4um", folder / "run", steps=folder / "in.yaml")


JOBS = {
    "group": lambda folder: group(folder / "in.csv", folder / "out.csv"),
    "group hdf5": lambda folder: group(folder / "in.csv", folder / "out.hdf5", camera_pixel_nm=110.0),
    "filter": lambda folder: filter(folder / "in.csv", folder / "out.parquet", keep=("z<300",)),
    "drift": lambda folder: drift(folder / "in.csv", folder / "out.csv", method="correlation"),
    "render tiff": lambda folder: render(folder / "in.csv", folder / "out.tif", pixel_nm=100),
    "render png": lambda folder: render(folder / "in.csv", folder / "out.png", pixel_nm=100),
    "render gif": lambda folder: render(folder / "in.csv", folder / "out.gif", pixel_nm=100),
    "run": whole_run,
}
LONG = ("drift", "render gif", "group hdf5", "render png")
KINDS = [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in JOBS]
FAILING = [pytest.param(name, marks=pytest.mark.slow) if name in (*LONG, "run") else name for name in JOBS]


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Make a folder with inputs; localizing is not done, and its table is given."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    numbers = itertools.count()

    def localize(model, frames, out, *arguments, **keywords):
        with whole_file(out) as temporary:
            TABLE.to_csv(temporary, index=False)

    monkeypatch.setattr("ds3d_tf.jobs.localize.localize", localize)
    localizer = SimpleNamespace(setup=load_setup("quickstart"))
    monkeypatch.setattr("ds3d_tf.localization.localizer.Localizer", lambda model: localizer)
    # A run names its recording and its model, so all of them have one name.
    place = tmp_path / "here"

    def make():
        if place.exists():
            place.rename(tmp_path / f"before {next(numbers)}")
        place.mkdir()
        TABLE.to_csv(place / "in.csv", index=False)
        tifffile.imwrite(place / "in.tif", np.ones((3, 64, 64), np.uint16), photometric="minisblack")
        (place / "in.yaml").write_text(PLAN)
        # A run tells recordings apart by their times, too.
        os.utime(place / "in.tif", (1e9, 1e9))
        return place

    return make


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name + path.name[:3] != "herein.")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def undisturbed(fresh, job):
    folder = fresh()
    with changes_of(folder, None) as changes:
        job(folder)
    assert contents(folder) and changes.count > 1
    return contents(folder), changes.count


@pytest.mark.parametrize("full", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", FAILING)
def test_every_change_fails_once(fresh, kind, full):
    job = JOBS[kind]
    expected, count = undisturbed(fresh, job)
    for failing in range(count):
        folder = fresh()
        with changes_of(folder, failing, full=full):
            try:
                job(folder)
            except InputError as error:
                assert "\n" not in str(error) and "cannot write" in str(error), failing
        assert not [name for name in contents(folder) if "partial-" in name or ".old-" in name], failing
        if contents(folder) != expected:
            job(folder)  # room was made
        assert contents(folder) == expected, failing


@pytest.mark.parametrize("kind", KINDS)
def test_the_process_dies_at_every_change(fresh, kind):
    job = JOBS[kind]
    expected, count = undisturbed(fresh, job)
    for dying in range(count):
        folder = fresh()
        with pytest.raises(Killed), changes_of(folder, dying, kill=True):
            job(folder)
        if contents(folder) != expected:
            job(folder)
        assert contents(folder) == expected, dying
