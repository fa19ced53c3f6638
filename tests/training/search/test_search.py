"""Searches with trials that only pretend to train."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup import load_setup
from ds3d_tf.setup.search_space import read_space
from ds3d_tf.training.search.oracles import build_oracle
from ds3d_tf.training.search.search import Search, TrialFailed, read_outcomes

VALUES = {
    "learning.learning_rate": {"kind": "float", "range": [1.0e-4, 1.0e-2], "log": True},
    "learning.filters": {"kind": "int", "range": [8, 24], "step": 8},
    "learning.batch_size": {"values": [2, 4, 8]},
}
SPACE = read_space(VALUES, load_setup("quickstart_voxel"))
SCRIPT = Path(__file__).with_name("toy_search.py")


def toy(folder, values, *, previous=None, epochs=None) -> dict[str, float]:
    """The nearer to 0.001 the rate, and the larger the network, the better."""
    rate = abs(values["learning.learning_rate"] - 1e-3) / 1e-2
    return {"matched_jaccard": 0.9 - rate + values["learning.filters"] / 1000, "val_loss": rate}


def search(folder, method="random", objective="matched_jaccard", trials=6, train=toy, seed=0) -> Search:
    return Search(build_oracle(method, SPACE, objective, trials, 9, seed), SPACE, folder, train)


def values_of(outcomes) -> list[tuple]:
    return [tuple(one["values"].values()) for one in outcomes]


@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_trials_are_within_the_space_and_different(tmp_path, method):
    # Bayesian search begins with nine random trials.
    if method == "bayesian":
        pytest.importorskip("sklearn", reason="Bayesian search needs the extra tune")
    search(tmp_path, method, trials=11).search()
    outcomes = read_outcomes(tmp_path)
    assert [int(one["trial"]) for one in outcomes] == list(range(11))
    assert len(set(values_of(outcomes))) == 11
    for rate, filters, batch in values_of(outcomes):
        assert 1e-4 <= rate <= 1e-2 and filters in (8, 16, 24) and batch in (2, 4, 8)
        assert rate == float(f"{rate:.6g}"), "a number that a person can read"


@pytest.mark.slow
def test_the_guesses_of_bayesian_search_are_better_than_chance(tmp_path):
    # Ten of 24 trials are a random start.
    search(tmp_path, "bayesian", trials=24).search()
    scores = [one["metrics"]["matched_jaccard"] for one in read_outcomes(tmp_path)]
    assert sum(scores[14:]) / 10 > sum(scores[:9]) / 9 + 0.05


def test_hyperband_goes_on_with_the_better_half(tmp_path):
    calls = []

    def train(folder, values, *, previous=None, epochs=None) -> dict[str, float]:
        calls.append((folder.name, previous.name if previous else None, epochs))
        return toy(folder, values)

    search(tmp_path, "hyperband", "val_loss", trials=None, train=train).search()
    loss = {f"trial_{one['trial']}": one["metrics"]["val_loss"] for one in read_outcomes(tmp_path)}
    assert {epochs for _, _, epochs in calls} == {1, 3, 9}
    first = [name for name, previous, epochs in calls if epochs == 1]
    second = [previous for _, previous, epochs in calls if previous in first]
    assert 0 < len(second) < len(first)
    assert max(loss[name] for name in second) <= min(loss[name] for name in first if name not in second)


def test_trials_that_fail_are_recorded_and_the_search_goes_on(tmp_path):
    def train(folder, values, **options) -> dict[str, float]:
        number = int(folder.name[-1])
        if number == 5:
            return toy(folder, values)
        raise (TrialFailed("loss is nan"), MemoryError("no\nmore"))[number % 2]

    search(tmp_path, train=train).search()
    outcomes = read_outcomes(tmp_path)
    assert [one["status"] for one in outcomes] == ["failed"] * 5 + ["completed"]
    assert [one["reason"] for one in outcomes[:2]] == ["loss is nan", "MemoryError: no more"]


def test_a_full_disk_ends_the_search_not_the_trial(tmp_path):
    def train(folder, values, **options) -> dict[str, float]:
        if int(folder.name[-1]) == 2 and not (tmp_path / "mended").exists():
            raise InputError("cannot write model.keras: No space left on device")
        return toy(folder, values)

    with pytest.raises(InputError, match="No space left"):
        search(tmp_path, train=train).search()
    assert len(read_outcomes(tmp_path)) == 2
    (tmp_path / "mended").touch()
    search(tmp_path, train=train).search()
    assert [one["status"] for one in read_outcomes(tmp_path)] == ["completed"] * 6


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("after", [False, True])
def test_a_search_killed_at_any_write_goes_on_without_gaps_or_repeats(tmp_path, monkeypatch, after):
    """The process ends before or after each of the files that a search writes, in turn."""
    from ds3d_tf.training.search import oracles
    from ds3d_tf.training.search import search as module

    search(tmp_path / "whole", trials=3).search()
    expected = values_of(read_outcomes(tmp_path / "whole"))
    write = oracles.write_json
    written, fatal = itertools.count(), -1

    def write_and_die(path, content) -> None:
        now = next(written) == fatal
        if not now or after:
            write(path, content)
        if now:
            raise Killed

    for one in (oracles, module):
        monkeypatch.setattr(one, "write_json", write_and_die)
    for fatal in itertools.count():
        folder, trained = tmp_path / str(fatal), []

        def train(folder, values, trained=trained, **options) -> dict[str, float]:
            trained.append((folder.name, (folder / "result.json").exists()))
            return toy(folder, values)

        written = itertools.count()
        try:
            search(folder, trials=3, train=train).search()
            break
        except Killed:
            search(folder, trials=3, train=train).search()
        outcomes = read_outcomes(folder)
        assert values_of(outcomes) == expected
        assert [one["status"] for one in outcomes] == ["completed"] * 3
        assert len(list((folder / "trials").glob("trial_*"))) == 3
        # One may have been under way; none is trained again that had a result.
        assert len(trained) <= 4 and not any(had_result for _, had_result in trained)
    assert fatal > 15


def test_a_trial_that_takes_the_process_with_it_is_given_up(tmp_path):
    def train(folder, values, **options) -> dict[str, float]:
        if folder.name == "trial_1":
            raise Killed
        return toy(folder, values)

    for _ in range(3):
        with pytest.raises(Killed):
            search(tmp_path, train=train).search()
    search(tmp_path, train=train).search()
    outcomes = read_outcomes(tmp_path)
    assert [one["status"] for one in outcomes] == ["completed", "failed", *["completed"] * 4]
    assert outcomes[1]["reason"] == "the process ended 3 times during this trial; not enough memory?"


def test_a_damaged_state_is_told(tmp_path):
    search(tmp_path, trials=2).search()
    (tmp_path / "trials" / "oracle.json").write_text('{"start_order": ')
    with pytest.raises(InputError, match="state of the search is damaged"):
        search(tmp_path, trials=2)


@pytest.mark.slow
def test_killed_after_three_trials_and_resumed_by_a_chief_and_two_workers(tmp_path, repository):
    """Real processes that speak gRPC on loopback."""
    (tmp_path / "space.yaml").write_text(json.dumps(VALUES))
    folder, log = tmp_path / "search", tmp_path / "log.txt"
    environment = {**os.environ, "PYTHONPATH": str(repository)}

    def start(slow: str, **more: str) -> subprocess.Popen:
        line = [sys.executable, str(SCRIPT), str(folder), slow, str(log)]
        return subprocess.Popen(line, env={**environment, **more}, stderr=subprocess.PIPE, text=True)

    alone = start("trial_3")
    deadline = time.monotonic() + 240
    while "trial_3" not in (log.read_text() if log.exists() else ""):
        assert alone.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    alone.send_signal(signal.SIGKILL)
    alone.communicate()
    assert [one["status"] for one in read_outcomes(folder)] == ["completed", "failed", "completed"]

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    names = ("chief", "worker0", "worker1")
    crew = {name: start("none", **address, KERASTUNER_TUNER_ID=name) for name in names}
    try:
        said = {name: process.communicate(timeout=240)[1] for name, process in crew.items()}
    finally:
        for process in crew.values():
            process.kill()
    assert all(process.returncode == 0 for process in crew.values()), said
    assert (
        "resuming after 3 trials" in said["chief"] and "trial 4  failed: RuntimeError: something else" in said["chief"]
    )

    table = pd.read_csv(folder / "trials.csv")
    assert list(table.trial) == list(range(6))
    assert list(table.status) == ["completed", "failed", "completed", "completed", "failed", "completed"]
    assert not table.duplicated(["learning.learning_rate", "learning.filters", "learning.batch_size"]).any()
    # Each was trained once, but for the one in which the first process was killed: twice, with the same values.
    begun = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
    assert sorted(name for name, _ in begun) == sorted([f"trial_{number}" for number in range(6)] + ["trial_3"])
    assert len({values for name, values in begun if name == "trial_3"}) == 1
    best = table.loc[table.matched_jaccard.idxmax()]
    assert load_setup(folder / "best.yaml").learning.learning_rate == pytest.approx(best["learning.learning_rate"])
    assert (folder / "parallel_coordinates.png").is_file()
