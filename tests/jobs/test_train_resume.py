"""A killed run goes on with --resume and ends as if it had never been stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.train import train
from ds3d_tf.model.files import load_model_folder
from ds3d_tf.setup import load_setup
from ds3d_tf.training.callbacks.checkpoint import read_checkpoint

# Every step writes a checkpoint, so that a kill can fall anywhere between two.
ENVIRONMENT = {**os.environ, "DS3D_SECONDS_BETWEEN_CHECKPOINTS": "0"}
CHANGES = ("learning.epochs=6", "training_set.training_count=32", "learning.learning_rate=0.01")


@pytest.fixture
def command(tiny_options) -> list[str]:
    """The command line of a deterministic run of six epochs, in a process of its own."""
    changes = [word for change in CHANGES for word in ("--set", change)]
    return [sys.executable, "-m", "ds3d_tf", "train", *tiny_options, *changes, "--deterministic"]


def kill_after(command: list[str], checkpoint, steps: int, delay_s: float) -> None:
    """Start the command and kill it ``delay_s`` after its checkpoint has gone on by ``steps`` steps."""
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun, total = None, 0
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if checkpoint.is_file():
            state = read_checkpoint(checkpoint)
            total = state.epoch * 8 + state.step
            begun = total if begun is None else begun
            if total >= begun + steps:
                break
        time.sleep(0.02)
    time.sleep(delay_s)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(command, tmp_path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([*command, "--out", str(whole)], env=ENVIRONMENT, check=True, capture_output=True)
    rng, again = np.random.default_rng(5), [*command, "--out", str(broken)]
    kill_after(again, broken / "checkpoint.npz", 3, rng.uniform(0, 0.1))
    for _ in range(2):
        steps = int(rng.integers(2, 14))
        kill_after([*again, "--resume"], broken / "checkpoint.npz", steps, rng.uniform(0, 0.1))
    subprocess.run([*again, "--resume"], env=ENVIRONMENT, check=True, capture_output=True)

    one, other = read_checkpoint(whole / "checkpoint.npz"), read_checkpoint(broken / "checkpoint.npz")
    assert (one.epoch, one.step) == (other.epoch, other.step) == (6, 0)
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    times = ["seconds", "steps_per_s", "data_wait"]
    history = [pd.read_csv(folder / "history.csv").drop(columns=times) for folder in (whole, broken)]
    assert list(history[0].epoch) == [1, 2, 3, 4, 5, 6]
    pd.testing.assert_frame_equal(*history)
    best = [load_model_folder(folder)[0].get_weights() for folder in (whole, broken)]
    for mine, theirs in zip(*best, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.fixture(scope="module")
def finished(tiny_changes, tmp_path_factory):
    """A finished run of one epoch."""
    out = tmp_path_factory.mktemp("runs") / "run"
    setup = load_setup("quickstart_voxel", [*tiny_changes, "learning.epochs=1", "learning.schedule=plateau"])
    train(setup, out)
    return setup, out


def test_a_run_can_be_made_longer(finished) -> None:
    setup, out = finished
    run = train(setup.replace({"learning.epochs": 2}), out, resume=True)
    assert run.epochs == 2
    assert list(pd.read_csv(out / "history.csv").epoch) == [1, 2]


def test_epochs_to_add_are_counted_from_the_checkpoint(finished) -> None:
    setup, out = finished
    before = len(pd.read_csv(out / "history.csv"))
    run = train(setup.replace({"resuming.epochs": 1}), out, resume=True)
    assert run.epochs == before + 1 == len(pd.read_csv(out / "history.csv"))


def test_a_schedule_over_all_epochs_cannot_be_made_longer(finished, tmp_path) -> None:
    setup, out = finished
    shutil.copytree(out, tmp_path / "run")
    cosine = setup.replace({"learning.schedule": "cosine", "learning.epochs": 5})
    (tmp_path / "run" / "setup.yaml").write_text(cosine.to_yaml())
    with pytest.raises(InputError, match=r"resuming\.epochs 9: the schedule of .* falls over 5 epochs"):
        train(cosine.replace({"resuming.epochs": 9}), tmp_path / "run", resume=True)


def test_another_setup_is_refused_with_the_difference(finished) -> None:
    setup, out = finished
    with pytest.raises(InputError, match=r"learning\.filters was 4 and is 8") as caught:
        train(setup.replace({"learning.filters": 8}), out, resume=True)
    assert "\n" not in str(caught.value)


def test_nothing_to_resume_and_damaged_checkpoints_are_told(finished, tmp_path) -> None:
    setup, _ = finished
    with pytest.raises(InputError, match="no checkpoint"):
        train(setup, tmp_path / "nothing", resume=True)
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 half of it")
    with pytest.raises(InputError, match="damaged"):
        train(setup, tmp_path, resume=True)
    with pytest.raises(InputError, match="setup is missing"):
        train(None, tmp_path / "new")
