"""`ds3d localize` on a Dask cluster: real processes, real sockets, a real kill."""

import functools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from ds3d_tf.common import InputError
from ds3d_tf.jobs.localize import localize as localize_job

# The network alone: its answers are known by hand.
localize = functools.partial(localize_job, refine=False)

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
FRAMES = 900


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    rng = np.random.default_rng(0)
    frames = np.full((FRAMES, 24, 30), 5, np.uint16)
    for frame in frames:
        for _ in range(rng.integers(0, 5)):
            frame[rng.integers(0, 24), rng.integers(0, 30)] += rng.integers(1, 7) * 100 + 50
    path = tmp_path_factory.mktemp("recording") / "frames.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def expected(recording, model_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("single") / "table.csv"
    localize(model_folder, recording, out)
    return out.read_bytes()


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(recording, expected, model_folder, tmp_path):
    """The command with its own cluster of two; one of them gets SIGKILL when a part of the table is on disk."""
    out = tmp_path / "table.csv"
    command = [
        sys.executable,
        "-m",
        "ds3d_tf",
        "localize",
        "--no-refine",
        "--model",
        model_folder,
        "--frames",
        recording,
    ]
    process = subprocess.Popen(
        [*command, "--out", out, "--batch", "1", "--dask", "local:2"],
        env={**os.environ, "DS3D_SECONDS_BETWEEN_CHUNKS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = None
    try:
        for _ in range(600):
            if (tmp_path / "table.partial.json").exists():
                killed = first_worker(process.pid)
                os.kill(killed, signal.SIGKILL)
                break
            time.sleep(0.1)
        _, messages = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, messages
    assert killed is not None
    assert out.read_bytes() == expected
    assert "Traceback" not in messages and f"in {FRAMES} frames" in messages
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def first_worker(pid):
    """Return the process id of a Dask worker: a grandchild by spawning, told by its name in its command line."""
    listed = subprocess.run(["ps", "-wweo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    workers = [int(row[0]) for row in rows if int(row[1]) == pid and "spawn_main" in row[2]]
    assert workers, listed
    return min(workers)


def test_a_scheduler_by_its_address(recording, expected, model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("DS3D_SECONDS_BETWEEN_CHUNKS", "0")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0", memory_limit=0
    ) as cluster:
        localize(model_folder, recording, tmp_path / "a.csv", dask=cluster.scheduler_address)
        assert (tmp_path / "a.csv").read_bytes() == expected
        damage(recording, tmp_path / "damaged.tif")
        with pytest.raises(InputError, match=r"page 401: 1 of 720 pixels are NaN.*400 frames before it are kept"):
            localize(model_folder, tmp_path / "damaged.tif", tmp_path / "b.csv", dask=cluster.scheduler_address)
        done = localize(
            model_folder,
            tmp_path / "damaged.tif",
            tmp_path / "b.csv",
            dask=cluster.scheduler_address,
            skip_damaged=True,
        )
        assert done.resumed_at == 400 and len(done.damaged) == 1


def damage(recording, path):
    frames = tifffile.imread(recording).astype(np.float32)
    frames[400, 3, 3] = np.nan
    tifffile.imwrite(path, frames, photometric="minisblack")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("local:0", "expected local:N"),
        ("local:many", "expected local:N"),
        ("nowhere", "expected a scheduler such as tcp://host:8786, local or local:N"),
        ("tcp://127.0.0.1:9", "no scheduler with workers answers there"),
    ],
)
def test_mistakes(recording, model_folder, tmp_path, where, expected):
    with pytest.raises(InputError, match=expected) as caught:
        localize(model_folder, recording, tmp_path / "a.csv", dask=where)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
