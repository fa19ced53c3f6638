"""Several devices take the steps that one would."""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.simulation.dataset import stored_dataset, write_dataset
from ds3d_tf.simulation.shares import Share
from ds3d_tf.simulation.stream import training_dataset
from ds3d_tf.training.distributed.devices import Devices, check_batches

PROGRAM = Path(__file__).with_name("distributed_run.py")


@pytest.fixture(scope="module")
def one_device() -> dict[str, np.ndarray]:
    return runpy.run_path(str(PROGRAM))["trained"]("one")


def same(result: Path, expected: dict[str, np.ndarray]) -> None:
    got = np.load(result)
    assert int(got["devices"]) == 2
    assert set(got.files) == set(expected)
    moved = 0.0
    for name in expected:
        if name.startswith("weight"):
            np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=1e-5)
            moved = max(moved, float(np.abs(expected[name]).max()))
        elif name != "devices":
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-5)
    assert moved > 0


@pytest.mark.slow
def test_two_workers_take_the_steps_of_one_process(tmp_path, one_device) -> None:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        line = [sys.executable, PROGRAM, "workers", tmp_path / f"{index}.npz"]
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        processes.append(subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    for index in range(2):
        same(tmp_path / f"{index}.npz", one_device)


def test_two_devices_of_a_machine_take_the_steps_of_one(tmp_path, one_device) -> None:
    subprocess.run([sys.executable, PROGRAM, "all", tmp_path / "all.npz"], check=True, timeout=300)
    same(tmp_path / "all.npz", one_device)


class _Strategy:
    num_replicas_in_sync = 3


def test_batches_without_equal_parts_are_refused(tiny) -> None:
    three = Devices(_Strategy())
    with pytest.raises(InputError, match=r"learning.batch_size: 4 frames cannot be shared equally by 3 devices; use 3"):
        check_batches(tiny, three)
    with pytest.raises(InputError, match=r"training_set.validation_count: 8 .* use 9"):
        check_batches(tiny.replace({"learning.batch_size": 6}), three)


@pytest.mark.parametrize("options", [{"limit": 36, "first_frame": 7}, {"split": "validation"}])
def test_shares_are_parts_of_every_batch(tiny, options) -> None:
    """Streams that begin within a group, whose batches are no groups, and whose last batch is smaller."""
    setup = tiny.replace({"training_set.validation_count": 26, "learning.batch_size": 6})
    whole = [[part.numpy() for part in batch] for batch in training_dataset(setup, **options)]
    shares = [
        [[part.numpy() for part in batch] for batch in training_dataset(setup, **options, share=Share(index, 2))]
        for index in range(2)
    ]
    assert len(whole) == len(shares[0]) == len(shares[1])
    for batch, first, second in zip(whole, *shares, strict=True):
        assert len(first[0]) == len(second[0])
        for part in range(2):
            np.testing.assert_array_equal(batch[part], np.concatenate([first[part], second[part]]))


def test_shares_of_a_data_set_on_disk(tiny, tmp_path) -> None:
    write_dataset(tmp_path, tiny, 24, seed=3)
    whole = list(stored_dataset(tiny, tmp_path, limit=20))
    shares = [list(stored_dataset(tiny, tmp_path, limit=20, share=Share(index, 2))) for index in range(2)]
    for batch, first, second in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(batch[1], np.concatenate([first[1], second[1]]))


def test_impossible_shares() -> None:
    with pytest.raises(ValueError, match="index: expected 0 … 1, got 2"):
        Share(2, 2)
    with pytest.raises(ValueError, match="batch_size: expected a multiple of 2, got 5"):
        Share(0, 2).of_batch_size(5)
