"""The whole path: nothing twice, the same files after interruptions, recordings that grow."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.spatial import cKDTree

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.run import run
from ds3d_tf.postprocessing.pipeline import read_plan

SAMPLE = Path(__file__).resolve().parents[2] / "exported_models" / "tetrapod_4um" / "1" / "sample" / "frames.tif"
MODEL = "tetrapod_4um"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "frames.tif"
    tifffile.imwrite(path, tifffile.imread(SAMPLE)[:6], photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def undisturbed(recording, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    return run(recording, MODEL, out)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_everything_is_made(undisturbed):
    steps = dict(undisturbed.steps)
    assert steps["localize"] == steps["filter"] == steps["group"] == steps["report"] == "done"
    assert "too few to measure a drift" in steps["drift"]
    found = pd.read_csv(undisturbed.folder / "molecules.csv")
    assert {"detections", "uncertainty_z [nm]"} <= set(found) and (found["uncertainty_z [nm]"] < 120).all()
    page = (undisturbed.folder / "report.html").read_text(encoding="utf-8")
    assert "ds3d localize --model tetrapod_4um" in page and "ds3d group" in page and "The model&#x27;s card" in page
    assert page.count('alt="residual"') == 3
    assert tifffile.imread(undisturbed.folder / "picture.tif").max() > 100


def test_nothing_is_done_twice(recording, undisturbed, monkeypatch):
    before = contents(undisturbed.folder)
    for name in ("localize", "filter", "group", "quality", "render", "report"):
        monkeypatch.setattr(f"ds3d_tf.jobs.{name}.{name}", None)
    again = run(recording, MODEL, undisturbed.folder)
    assert {what for step, what in again.steps if step != "drift"} == {"as before"}
    assert contents(undisturbed.folder) == before


def test_killed_twice(recording, undisturbed, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*arguments, **keywords):
        raise Killed

    out = tmp_path / "run"
    formats, tiff = "ds3d_tf.localization.tables.formats", "ds3d_tf.postprocessing.pictures.tiff"
    for place in (f"{formats}.prepared_table", f"{tiff}.write_tiff"):
        with monkeypatch.context() as patch:
            patch.setattr(place, kill)
            with pytest.raises(Killed):
                run(recording, MODEL, out)
    resumed = dict(run(recording, MODEL, out).steps)
    assert resumed["group"] == "as before" and resumed["render"] == "done"
    assert contents(out) == contents(undisturbed.folder)


def test_a_changed_option_does_again_what_follows(recording, undisturbed, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(undisturbed.folder, out)
    (tmp_path / "lab.yaml").write_text("group: {gap: 0}\nquality: false\nrender: {pixel: 20}\n")
    steps = dict(run(recording, MODEL, out, steps=tmp_path / "lab.yaml").steps)
    assert steps["localize"] == steps["filter"] == "as before"
    assert steps["group"] == steps["render"] == steps["report"] == "done" and "quality" not in steps
    other = tmp_path / "other.tif"
    shutil.copy(recording, other)
    with pytest.raises(InputError, match="holds the run of another recording"):
        run(other, MODEL, out)
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="did not write"):
        run(recording, MODEL, out)


def test_one_channel_of_several(recording, tmp_path):
    frames = tifffile.imread(recording)
    dark = np.full_like(frames, int(np.median(frames)))
    both = tmp_path / "both.tif"
    tifffile.imwrite(both, np.stack([dark, frames], axis=1), imagej=True, metadata={"axes": "TCYX"})
    plan = tmp_path / "lab.yaml"
    plan.write_text("localize: {refine: false}\nquality: false\n")
    with pytest.raises(InputError, match="channel"):
        run(both, MODEL, tmp_path / "none", steps=plan)
    one = run(both, MODEL, tmp_path / "one", steps=plan, channel="2")
    alone = run(recording, MODEL, tmp_path / "alone", steps=plan)
    assert (one.folder / "molecules.csv").read_text() == (alone.folder / "molecules.csv").read_text()
    shown = [re.findall(r'alt="frame" src="([^"]+)"', (x.folder / "report.html").read_text()) for x in (one, alone)]
    assert shown[0] == shown[1] and len(shown[0]) == 3
    assert "--channel 2" in (one.folder / "report.html").read_text()


def test_another_recording_of_the_same_name(recording, tmp_path):
    path, plan = tmp_path / "frames.npy", tmp_path / "lab.yaml"
    plan.write_text("localize: {refine: false}\nquality: false\nreport: false\n")
    frames = tifffile.imread(recording)
    np.save(path, frames[:3])
    run(path, MODEL, tmp_path / "run", steps=plan)
    before = (tmp_path / "run" / "molecules.csv").read_text()
    np.save(path, frames[3:6])
    steps = dict(run(path, MODEL, tmp_path / "run", steps=plan).steps)
    assert steps["localize"] == steps["render"] == "done"
    assert (tmp_path / "run" / "molecules.csv").read_text() != before


@pytest.mark.slow
def test_a_recording_that_grows(recording, undisturbed, tmp_path):
    folder, frames = tmp_path / "frames", tifffile.imread(recording)
    folder.mkdir()

    def write(first, last):
        for index in range(first, last):
            tifffile.imwrite(folder / f"frame_{index + 1}.tif", frames[index])

    write(0, 3)
    later = threading.Timer(2.0, write, (3, len(frames)))
    later.start()
    done = run(folder, MODEL, tmp_path / "run", watch=True, interval_s=0.5, patience_s=6)
    later.join()
    assert dict(done.steps)["localize"] == f"{len(frames)} frames"
    # The noise is that of the first frames, so the fit may differ a little.
    nm = ["x [nm]", "y [nm]", "z [nm]"]
    found, expected = (pd.read_csv(one.folder / "molecules.csv")[nm] for one in (done, undisturbed))
    assert len(found) == pytest.approx(len(expected), rel=0.15)
    assert np.mean(cKDTree(expected).query(found)[0] < 30) > 0.8
    assert not list(done.folder.glob("*.partial.*"))
    assert json.loads((done.folder / "run.json").read_text())["done"]["localize"]


def test_plans(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("drift: {method: comet, max-drift: 300}\nfilter: {keep: ['z<9']}\nreport: {pixel: 8}\n")
    plan = read_plan(path)
    assert plan.options["drift"].max_drift_nm == 300.0 and plan.options["filter"].keep == ("z<9",)
    assert plan.asked == {"drift", "filter", "report"}
    assert read_plan(None).options["drift"].method == "correlation"
    for text, message in (
        ("drfit: {}", "'drfit' is not a step; did you mean 'drift'"),
        ("localize: false", "localize cannot be left out"),
        ("drift: {metod: comet}", "drift has no option 'metod' here; did you mean 'method'"),
        ("drift: {method: magic}", "expected auto, comet"),
        ("group: {gap: wide}", "'wide': expected int"),
        ("report: {frames: a.tif}", "report has no option 'frames' here"),
        ("- drift", "expected steps and their options"),
        ("drift: [", "not YAML"),
        ("drift: 7", "expected options such as"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_plan(path)
    with pytest.raises(InputError, match="no such file"):
        read_plan(tmp_path / "none.yaml")


def test_no_molecules_come(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path / "none.tif", MODEL, tmp_path / "run", watch=True, patience_s=0.2, interval_s=0.1)
    np.save(tmp_path / "dark.npy", np.full((3, 56, 56), 100, np.uint16))
    with pytest.raises(InputError, match="holds no molecules"):
        run(tmp_path / "dark.npy", MODEL, tmp_path / "dark")
