"""TF_CONFIG and the meeting of workers."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.training.distributed.workers import Workers, read_workers, wait_for_workers


def config(cluster, task) -> str:
    return json.dumps({"cluster": cluster, "task": task})


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def test_a_chief_comes_before_the_workers() -> None:
    cluster = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    assert read_workers(config(cluster, {"type": "worker", "index": 1})) == Workers(("a:1", "b:2", "c:3"), 2)
    assert read_workers(config(cluster, {"type": "chief", "index": 0})).is_chief
    without = {"worker": ["b:2", "[::1]:3"]}
    # Some schedulers write the index as text.
    assert read_workers(config(without, {"type": "worker", "index": "0"})).is_chief
    assert not read_workers(config(without, {"type": "worker", "index": 1})).is_chief


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "TF_CONFIG is not set"),
        ("{'cluster'", "not JSON"),
        ("[]", "has no cluster"),
        (json.dumps({"task": {"type": "worker", "index": 0}}), "has no cluster"),
        (json.dumps({"cluster": {"worker": ["a:1"]}}), "has no task"),
        (config({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": 2}), r"task.index is 2; expected 0 … 1"),
        (config({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": -1}), r"task.index is -1"),
        (config({"worker": ["a:1", "b:2"]}, {"type": "worker"}), r"task.index is None"),
        (config({"worker": ["a:1", "b:2"]}, {"type": "chief", "index": 0}), "task.type is 'chief'"),
        (config({"worker": ["a:1"], "ps": ["b:2"]}, {"type": "worker", "index": 0}), "cluster has 'ps'"),
        (config({"worker": ["a"]}, {"type": "worker", "index": 0}), "'a' is not host:port"),
        (config({"worker": ["a:99999"]}, {"type": "worker", "index": 0}), "'a:99999' is not host:port"),
        (config({"worker": ["a:1", "a:1"]}, {"type": "worker", "index": 0}), "names a:1 twice"),
        (config({"worker": "a:1"}, {"type": "worker", "index": 0}), "not a list of host:port"),
        (config({"chief": ["a:1", "b:1"]}, {"type": "chief", "index": 0}), "more than one chief"),
    ],
)
def test_impossible_configurations(text, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_workers(text)
    assert "\n" not in str(caught.value)


def test_three_workers_meet_though_one_is_late() -> None:
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(3))
    met = []

    def worker(index: int) -> None:
        time.sleep(0.5 * (index == 1))
        wait_for_workers(Workers(addresses, index), 20)
        met.append(index)

    threads = [threading.Thread(target=worker, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(met) == [0, 1, 2]


def test_a_worker_that_does_not_answer_is_named() -> None:
    own, other = free_ports(2)
    workers = Workers((f"127.0.0.1:{own}", f"127.0.0.1:{other}"), 0)
    begin = time.monotonic()
    with pytest.raises(InputError, match=rf"worker 1 at 127.0.0.1:{other} cannot be reached"):
        wait_for_workers(workers, 0.5)
    assert time.monotonic() - begin < 10


def test_a_port_in_use_is_told() -> None:
    own, other = free_ports(2)
    with socket.create_server(("", own)), pytest.raises(InputError, match=f"cannot listen on port {own}"):
        wait_for_workers(Workers((f"127.0.0.1:{own}", f"127.0.0.1:{other}"), 0), 0.5)
    with (
        socket.create_server(("", other)) as stranger,
        pytest.raises(InputError, match=r"cannot be reached|did not reach"),
    ):
        # Something that listens there, but does not know the greeting.
        threading.Thread(target=lambda: stranger.accept()[0].sendall(b"hello\n"), daemon=True).start()
        wait_for_workers(Workers((f"127.0.0.1:{own}", f"127.0.0.1:{other}"), 0), 0.5)
