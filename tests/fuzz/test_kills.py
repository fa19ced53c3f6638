"""Real processes killed at random times: the same command afterwards ends with the bytes of an undisturbed one."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from ds3d_tf.common.shipped import find_model

pytestmark = pytest.mark.slow
ENVIRONMENT = {
    **os.environ,
    "DS3D_SECONDS_BETWEEN_CHUNKS": "0",
    "DS3D_SECONDS_BETWEEN_CHECKPOINTS": "0",
    "CUDA_VISIBLE_DEVICES": "",
}
KILLS_A_TRIAL = 3


def start(command):
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(command):
    process = start(command)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]


def wait_for(path, process, seconds=300):
    """Wait until a file is there, or the process has ended."""
    end = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def kill_at(command, mark, delay_s):
    """Kill a process ``delay_s`` after it has made a file; returns whether it still ran."""
    process = start(command)
    wait_for(mark, process)
    try:
        process.communicate(timeout=delay_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def is_finished(folder, ending):
    """Return whether a process has done all of its work, even if it was killed while it ended."""
    return (folder / f"out{ending}").is_file() and not list(folder.glob("*partial*"))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_localize(tmp_path, request):
    kills = request.config.getoption("--kills")
    recording = tmp_path / "run.tif"
    frames = tifffile.imread(find_model("tetrapod_4um") / "1" / "sample" / "frames.tif")[:6]
    tifffile.imwrite(recording, frames, photometric="minisblack")
    rng, killed = np.random.default_rng(int.from_bytes(os.urandom(4))), 0
    words = [sys.executable, "-m", "ds3d_tf", "localize", "--model", "tetrapod_4um", "--frames", str(recording)]
    kinds = list(itertools.product((".csv", ".parquet", ".hdf5"), ("--refine", "--no-refine")))
    rng.shuffle(kinds)
    expected: dict[tuple[str, str], tuple[dict[str, bytes], float]] = {}
    for trial in itertools.count():
        if killed >= kills:
            break
        kind = kinds[trial % len(kinds)]
        folder = tmp_path / f"{trial}"
        folder.mkdir()
        command = [*words, "--batch", "1", kind[1], "--out"]
        if kind not in expected:
            whole = tmp_path / f"whole{kind[0]}{kind[1]}"
            whole.mkdir()
            process = start([*command, str(whole / f"out{kind[0]}")])
            wait_for(whole / "out.partial.lock", process)
            begun = time.monotonic()
            assert process.wait() == 0
            process.communicate()
            expected[kind] = contents(whole), time.monotonic() - begun
        content, seconds = expected[kind]
        command = [*command, str(folder / f"out{kind[0]}")]
        for _ in range(min(KILLS_A_TRIAL, kills - killed)):
            killed += kill_at(command, folder / "out.partial.lock", rng.uniform(0, seconds))
            if is_finished(folder, kind[0]):
                break
        if not is_finished(folder, kind[0]):
            finish(command)
        print(f"{killed} kills, {kind}", flush=True)
        assert contents(folder) == content, kind


def test_train(tmp_path, tiny_options, request):
    """Killed anywhere, from the first file of the run to the last one of its evaluation."""
    from ds3d_tf.training.callbacks.checkpoint import read_checkpoint

    kills = max(request.config.getoption("--kills") // 2, 1)
    changes = ["--set", "learning.epochs=3", "--set", "training_set.training_count=32", "--deterministic"]
    command = [sys.executable, "-m", "ds3d_tf", "train", *tiny_options, *changes, "--out"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start([*command, str(whole)])
    wait_for(whole / "setup.yaml", process)
    begun = time.monotonic()
    assert process.wait() == 0
    process.communicate()
    seconds = time.monotonic() - begun
    rng, killed = np.random.default_rng(int.from_bytes(os.urandom(4))), 0
    again = [*command, str(broken)]
    while killed < kills:
        resume = ["--resume"] if (broken / "checkpoint.npz").is_file() else ["--overwrite"]
        if not kill_at([*again, *resume], broken / "setup.yaml", rng.uniform(0, seconds)):
            break
        killed += 1
        print(f"{killed} kills, {resume}", flush=True)
    finish([*again, "--resume" if (broken / "checkpoint.npz").is_file() else "--overwrite"])
    one, other = (read_checkpoint(folder / "checkpoint.npz") for folder in (whole, broken))
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    names = [sorted(str(path.relative_to(run)) for path in run.rglob("*")) for run in (whole, broken)]
    assert names[0] == names[1]
    metrics = [json.loads((run / "evaluation" / "metrics.json").read_text()) for run in (whole, broken)]
    assert metrics[0] == metrics[1]
    assert not [path.name for path in tmp_path.iterdir() if path not in (whole, broken)]
