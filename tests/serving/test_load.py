"""64 clients of a server in a process of its own, a tenth of them hostile: the others notice little."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ds3d_tf.serving.client.errors import Refusal
from ds3d_tf.serving.client.grpc import GrpcConnection
from ds3d_tf.serving.client.rest import RestConnection

pytestmark = pytest.mark.slow
CLIENTS, MEMORY_GB = 64, 1.0
FRAMES = np.full((4, 40, 40), 5, np.float32)
FRAMES[:, 8, 9] += 350


@pytest.fixture
def process(model_folder):
    """Start ``ds3d serve``; returns its ports and its process id."""
    pytest.importorskip("tensorflow_serving", reason="the extra 'serving' is not installed")
    words = ["--model", f"bright={model_folder}", "--port", "0", "--rest-port", "0", "--memory", f"{MEMORY_GB:g}"]
    command = [sys.executable, "-m", "ds3d_tf", "serve", *words]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "300"})
    found = None
    while found is None:
        line = running.stderr.readline()
        assert line, "the server has ended"
        found = re.search(r"gRPC at 127\.0\.0\.1:(\d+), REST at http://127\.0\.0\.1:(\d+)/", line)
    threading.Thread(target=running.stderr.read, daemon=True).start()
    yield SimpleNamespace(grpc=int(found[1]), rest=int(found[2]), pid=running.pid)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=90) == 0


def open_connection(server, index):
    if index % 4:
        return GrpcConnection(f"127.0.0.1:{server.grpc}", False, 60)
    return RestConnection("127.0.0.1", server.rest, False, 60)


def raw(server, content, pause_s=0.0):
    """Send bytes to the REST port, wait, and go."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.rest), timeout=5) as link:
        link.sendall(content)
        time.sleep(pause_s)


def head(length):
    return b"POST /v1/models/bright:predict HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length


def hostile(server, rng, index):
    """Do one thing that no client should do."""
    wrong = {
        "too large": np.zeros((1, 3000, 3000), np.float32),
        "wrong rank": FRAMES[0],
        "NaN": np.where(FRAMES > 100, np.nan, FRAMES),
        "none": FRAMES[:0],
    }
    what = rng.choice([*wrong, "slow", "gone", "promise", "numbers", "huge"])
    if what in wrong:
        connection = open_connection(server, index)
        with contextlib.suppress(Refusal, OSError, ValueError):
            connection.predict("bright", None, "serving_default", {"frames": wrong[what]})
        connection.close()
    elif what == "slow":
        raw(server, head(1000) + b" " * 100, 2.0)
    elif what == "gone":
        raw(server, head(len(b'{"instances": [[[1]]]}')) + b'{"instances": [[[1]]]}')
    elif what == "promise":
        raw(server, head(60 * 2**20) + b" " * 2**17, 0.5)
    elif what == "huge":
        raw(server, head(10**12))
    else:
        body = b'{"instances": [' + b"1," * 4_000_000 + b"1]}"
        raw(server, head(len(body)) + body, 0.5)


def hostile_clients(server, clients):
    """Be hostile in many ways at a time until the process is killed."""

    def work(index):
        rng = np.random.default_rng(index)
        while True:
            hostile(server, rng, index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()


def load(server, seconds, bad_clients):
    """Return the latencies of good requests, their errors, and the most memory that the server took, bytes."""
    latencies, errors, most = [], [], [0]
    end = time.monotonic() + seconds

    def good(index):
        connection = open_connection(server, index)
        try:
            while time.monotonic() < end:
                begin = time.perf_counter()
                result = connection.predict("bright", None, "serving_default", {"frames": FRAMES})
                latencies.append(time.perf_counter() - begin)
                assert result["count"].tolist() == [1] * 4
        except Exception as error:
            errors.append(repr(error))
        finally:
            connection.close()

    def watch():
        status = Path(f"/proc/{server.pid}/status")
        while time.monotonic() < end:
            most[0] = max(most[0], 1024 * int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]))
            time.sleep(0.1)

    # In a process of their own, so that the work of making their requests does not delay the others.
    bad = multiprocessing.get_context("spawn").Process(target=hostile_clients, args=(server, bad_clients))
    if bad_clients:
        bad.start()
    threads = [threading.Thread(target=good, args=(index,)) for index in range(bad_clients, CLIENTS)]
    threads.append(threading.Thread(target=watch))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if bad_clients:
        assert bad.is_alive()
        bad.kill()
        bad.join()
    return np.array(latencies), errors, most[0]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux' figures of a process")
def test_hostile_clients_among_many(process, request, capsys):
    seconds = request.config.getoption("--load-seconds") / 2
    load(process, 2, 0)
    quiet, errors, before = load(process, seconds, 0)
    assert not errors, errors[:3]
    loud, errors, most = load(process, seconds, CLIENTS // 10)
    with capsys.disabled():
        print(
            f"\n{CLIENTS} clients, {seconds:g} s each: {len(quiet)} requests, then {len(loud)} with {CLIENTS // 10} "
            f"hostile clients; latency median {1000 * np.median(quiet):.0f} and {1000 * np.median(loud):.0f} ms, 99 % "
            f"{1000 * np.quantile(quiet, 0.99):.0f} and {1000 * np.quantile(loud, 0.99):.0f} ms; memory "
            f"{before / 1e6:.0f} and {most / 1e6:.0f} MB; {len(errors)} errors"
        )
    assert not errors, errors[:3]
    assert most - before < 1.1e9 * MEMORY_GB
