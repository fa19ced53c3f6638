"""The job of `ds3d tune`, with trials that only pretend to train, and once as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.tune import tune
from ds3d_tf.setup import Setup, load_setup

SPACE = {
    "learning.learning_rate": {"kind": "float", "range": [1.0e-4, 1.0e-2], "log": True},
    "learning.scaling_factor": {"values": [400, 800]},
    "emitters.count_range": {"values": [[1, 7], [1, 15]]},
}


def toy(base, folder, values, **options) -> dict[str, float]:
    rate = values["learning.learning_rate"]
    return {"matched_jaccard": 1 - rate, "val_loss": rate, "val_jaccard": 0.5, "epoch": 2.0}


@pytest.fixture
def space(tmp_path, monkeypatch):
    """A file with the space; trials are toys, in a process that is neither chief nor worker."""
    monkeypatch.setattr("ds3d_tf.training.search.trial.train_trial", toy)
    for name in list(os.environ):
        if name.startswith("KERASTUNER_"):
            monkeypatch.delenv(name)
    path = tmp_path / "space.yaml"
    path.write_text(json.dumps(SPACE))
    return path


def test_table_figure_and_best_setup(space, tmp_path):
    base = load_setup("quickstart_voxel")
    tuned = tune(base, space, tmp_path / "out", trials=5, epochs=3, seed=2)
    assert {path.name for path in tuned.folder.iterdir() if path.name != ".ds3d.json"} == {
        *("best.yaml", "mask.npy", "parallel_coordinates.png", "search.json", "setup.yaml", "trials", "trials.csv")
    }
    table = pd.read_csv(tuned.folder / "trials.csv")
    assert list(table.columns[:5]) == ["trial", "status", *SPACE]
    assert len(table) == 5 and (table.status == "completed").all()
    best = table.loc[table.matched_jaccard.idxmax()]
    assert tuned.best["trial"] == best.trial
    assert f"trial {best.trial}, matched Jaccard index {best.matched_jaccard:.4g}" in tuned.summary()
    lines = tuned.summary().splitlines()
    # Too wide for a terminal of 80 columns: a line for each trial's outcome, and below it what was tried.
    outcomes = [line for line in lines if line.startswith("trial ")]
    assert [line.split()[1] for line in outcomes] == ["0:", "1:", "2:", "3:", "4:"]
    assert all("matched_jaccard" in line and line.endswith("completed") for line in outcomes)
    table_end = next(number for number, line in enumerate(lines) if line.startswith("best:"))
    assert all(len(line) < 80 for line in lines[:table_end])
    tried = " ".join(lines[:table_end])
    assert all(tried.count(name) == 5 for name in ("learning_rate", "scaling_factor", "count_range"))
    found = load_setup(tuned.folder / "best.yaml")
    changed = {"learning.learning_rate", "learning.scaling_factor", "learning.peak_threshold", "emitters.count_range"}
    scale = found.learning.scaling_factor
    assert found.learning.learning_rate == best["learning.learning_rate"]
    assert found.learning.peak_threshold == 20 * scale / 800
    # The rest is the base's, with its own number of epochs and its mask beside it.
    same = {name: getattr(getattr(base, name.split(".")[0]), name.split(".")[1]) for name in changed}
    same |= {"name": base.name, "mask.source": base.mask.source}
    assert found.replace(same) == Setup.create(base.model_dump())

    longer = tune(base, space, tmp_path / "out", trials=7, epochs=3, seed=2)
    assert [row["trial"] for row in longer.rows] == list(range(7))
    assert longer.rows[:5] == tuned.rows


def test_another_search_is_refused_with_the_difference(space, tmp_path):
    base = load_setup("quickstart_voxel")
    tune(base, space, tmp_path / "out", trials=2)
    for changes, options, message in (
        ({"learning.filters": 8}, {}, r"holds another search \(setup.learning.filters was 24 and is 8\)"),
        ({}, {"method": "hyperband"}, "method was random and is hyperband"),
        ({}, {"seed": 1}, "seed was 0 and is 1"),
        ({}, {"epochs": 3}, "epochs was 15 and is 3"),
        ({}, {"trials": 1}, "trials 1: the search in .* has 2; it can only get longer"),
    ):
        with pytest.raises(InputError, match=message):
            tune(base.replace(changes), space, tmp_path / "out", **{"trials": 2, **options})
    assert len(tune(base, space, tmp_path / "out", trials=1, seed=1, overwrite=True).rows) == 1
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").touch()
    with pytest.raises(InputError, match="was not written by `ds3d tune`"):
        tune(base, space, tmp_path / "thesis", overwrite=True)


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ({"method": "genetic"}, {}, "method genetic: expected random, bayesian or hyperband"),
        ({"objective": "accuracy"}, {}, "objective accuracy: expected matched_jaccard or val_loss"),
        ({"objective": "val_loss"}, {}, "differ in learning.scaling_factor have losses that cannot be compared"),
        ({"trials": 0}, {}, "trials 0"),
        ({"workers": -1}, {}, "workers -1"),
        ({}, {"IP": "127.0.0.1"}, "KERASTUNER_TUNER_ID is not set"),
        ({}, {"TUNER_ID": "chief", "IP": "127.0.0.1"}, "KERASTUNER_ORACLE_PORT is not set"),
        ({}, {"TUNER_ID": "chief", "IP": "127.0.0.1", "PORT": "http"}, "'http'; expected a port number"),
        ({}, {"TUNER_ID": "chief", "IP": "192.0.2.1", "PORT": "8000"}, "the chief cannot listen at 192.0.2.1:8000"),
        ({"workers": 2}, {"TUNER_ID": "a", "IP": "127.0.0.1", "PORT": "1"}, "workers starts its own chief"),
        ({"overwrite": True}, {"TUNER_ID": "a", "IP": "127.0.0.1", "PORT": "1"}, "overwrite is for the chief"),
        ({}, {"TUNER_ID": "a", "IP": "127.0.0.1", "PORT": "1"}, "no chief has started a search here"),
    ],
)
def test_mistakes_are_told(space, tmp_path, monkeypatch, options, environment, message):
    monkeypatch.setattr("ds3d_tf.training.search.run.SECONDS_TO_WAIT", 0.1)
    for name, value in environment.items():
        monkeypatch.setenv(f"KERASTUNER_{name if name == 'TUNER_ID' else f'ORACLE_{name}'}", value)
    with pytest.raises(InputError, match=message):
        tune(load_setup("quickstart_voxel"), space, tmp_path / "out", **options)


def test_a_worker_does_not_wait_for_ever(space, tmp_path, monkeypatch):
    base = load_setup("quickstart_voxel")
    tune(base, space, tmp_path / "out", trials=1)
    monkeypatch.setattr("ds3d_tf.training.search.run.SECONDS_TO_WAIT", 0.1)
    for name, value in (("TUNER_ID", "worker0"), ("ORACLE_IP", "127.0.0.1"), ("ORACLE_PORT", "1")):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    with pytest.raises(InputError, match=r"no chief answers at 127\.0\.0\.1:1"):
        tune(base, space, tmp_path / "out", trials=1)


def test_a_worker_that_comes_when_all_trials_are_done_ends(space, tmp_path, monkeypatch, capsys):
    base = load_setup("quickstart_voxel")
    tune(base, space, tmp_path / "out", trials=1)
    monkeypatch.setattr("ds3d_tf.training.search.chief.SECONDS_FOR_ANOTHER_CHIEF", 0.1)
    for name, value in (("TUNER_ID", "worker0"), ("ORACLE_IP", "127.0.0.1"), ("ORACLE_PORT", "1")):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    assert tune(base, space, tmp_path / "out", trials=1) is None
    assert "is over" in capsys.readouterr().err


def test_a_search_without_a_result(space, tmp_path, monkeypatch):
    from ds3d_tf.training.search.search import TrialFailed

    def fail(*arguments, **options) -> dict:
        raise TrialFailed("not enough memory")

    monkeypatch.setattr("ds3d_tf.training.search.trial.train_trial", fail)
    tuned = tune(load_setup("quickstart_voxel"), space, tmp_path / "out", trials=2)
    assert tuned.best is None and [row["reason"] for row in tuned.rows] == ["not enough memory"] * 2
    assert not (tuned.folder / "best.yaml").exists()


@pytest.mark.slow
def test_the_command_with_two_workers_one_of_which_is_killed(tiny_options, tmp_path):
    (tmp_path / "space.yaml").write_text(json.dumps(SPACE))
    line = [sys.executable, "-m", "ds3d_tf", "tune", *tiny_options]
    line += ["--space", str(tmp_path / "space.yaml"), "--out", str(tmp_path / "out"), "--trials", "6", "--epochs", "1"]
    process = subprocess.Popen([*line, "--workers", "2"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 1200
    while not list((tmp_path / "out").glob("trials/trial_*/result.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    _, stderr = process.communicate(timeout=1200)
    assert process.returncode == 0, stderr
    assert "was killed by signal 9; starting it again" in stderr
    table = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert list(table.trial) == list(range(6)) and (table.status == "completed").all()
    assert not table.duplicated(list(SPACE)).any()
