"""`ds3d train`: the command in a process of its own, Ctrl-C, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.train import train
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.model.files import load_model_folder
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.setup import load_setup
from ds3d_tf.setup.bounds import BOUNDS, Bound

RUN = ["best_jaccard.keras", "checkpoint.npz", "curves.png", "evaluation", "history.csv", "parts.json"]
MODEL = ["card.md", "mask.npy", "model.keras", "saved_model", "setup.yaml"]


@pytest.fixture
def command(tiny_options) -> list[str]:
    """The command line that trains the tiny setup in a process of its own."""
    return [sys.executable, "-m", "ds3d_tf", "train", *tiny_options]


# The tests' own log level would show messages of TensorFlow that users do not see.
AS_A_USER = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


def run(line) -> subprocess.CompletedProcess:
    return subprocess.run(line, capture_output=True, text=True, check=False, env=AS_A_USER)


def test_the_command(command, tiny_changes, tmp_path):
    out = tmp_path / "run"
    done = run([*command, "--out", str(out)])
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for part in ("epoch 2/2", "validation loss", "matched Jaccard", "steps/s", "left", "all epochs done", f"{out}/"):
        assert part in done.stderr
    assert "E0000" not in done.stderr and "Traceback" not in done.stderr and "Warning" not in done.stderr
    assert sorted(path.name for path in out.iterdir() if path.name != ".ds3d.json") == sorted(RUN + MODEL)
    assert pd.read_csv(out / "history.csv")["matched_jaccard"].between(0, 1).all()
    figures = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert figures["frames"] == 200

    # What is exported is what was kept.
    model, setup, mask = load_model_folder(out)
    assert np.array_equal(mask, load_mask(load_setup("quickstart_voxel", tiny_changes)))
    localizer = Localizer(out)
    frames = np.random.default_rng(0).uniform(20, 200, (2, 30, 26)).astype(np.float32)
    normalized = (frames - setup.normalization.subtract) / setup.normalization.divide
    np.testing.assert_allclose(localizer.volume(frames), model(normalized).numpy(), atol=1e-3)

    again = run([*command, "--out", str(out)])
    assert again.returncode == 2
    assert again.stderr == f"error: {out} exists; choose another name or add --overwrite\n"


def test_ctrl_c_exports_and_evaluates_what_was_learned(command, tmp_path):
    out = tmp_path / "run"
    line = [*command, "--out", str(out), "--set", "learning.epochs=1000", "--set", "learning.schedule=cosine"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 180
    while not (out / "history.csv").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=180)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr and "Traceback" not in stderr
    assert {path.name for path in out.iterdir() if path.name != ".ds3d.json"} == {*RUN, *MODEL}
    assert (out / "evaluation" / "metrics.json").is_file()
    assert 1 <= len(pd.read_csv(out / "history.csv")) < 1000


def test_a_loss_that_is_not_finite_from_the_start_leaves_nothing(tiny_changes, tmp_path, monkeypatch):
    # No learning rate that a setup may have is bad enough for a step as short as this.
    monkeypatch.setitem(BOUNDS, "learning.learning_rate", Bound(0, 1e38, ""))
    setup = load_setup("quickstart_voxel", [*tiny_changes, "learning.learning_rate=1e30"])
    with pytest.raises(InputError, match=r"loss is .* in epoch 1; nothing was learned: lower learning.learning_rate"):
        train(setup, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_mistakes_leave_nothing_behind(tiny_changes, tmp_path):
    setup = load_setup("quickstart_voxel", tiny_changes)
    for changes, message in (
        ({"mask.source": "absent.npy"}, "mask file not found"),
        ({"training_set.folder": str(tmp_path / "absent")}, "absent"),
        ({"mask.learn": True}, "mask.learn is true"),
        ({"resuming.resume": True}, "no checkpoint to resume from"),
    ):
        with pytest.raises(InputError, match=message):
            train(setup.replace(changes), tmp_path / "run")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        train(setup, tmp_path / "file" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_overwriting_spares_other_folders(tiny_changes, tmp_path):
    setup = load_setup("quickstart_voxel", tiny_changes)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").touch()
    (tmp_path / "thesis" / "setup.yaml").touch()
    with pytest.raises(InputError, match=r"not written by `ds3d train` \(it holds chapter1.txt"):
        train(setup, tmp_path / "thesis", overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, and a folder is to be written"):
        train(setup, tmp_path / "file", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "thesis").iterdir()) == ["chapter1.txt", "setup.yaml"]
