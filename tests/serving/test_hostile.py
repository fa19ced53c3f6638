"""The REST server among clients that are slow, gone, rude or unknown; its own figures and its end."""

import contextlib
import http.client
import json
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.serving.errors import RequestError
from ds3d_tf.serving.limits import ServerLimits, Turns, read_token
from ds3d_tf.serving.rest_server import start_rest

pytest.importorskip("tensorflow", reason="imported here, so that no request waits for it")
pytest.importorskip("prometheus_client", reason="the extra 'serving' is not installed")
TOKEN = "correct-horse-battery"
PREDICT = b'{"instances": [1, 2]}'


class Model:
    """Stands for a served model: doubles numbers, as slowly as it is told."""

    version = 1
    signatures: dict = {}

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Semaphore(0)

    def signature(self, name):
        return name, SimpleNamespace(inputs={"x": SimpleNamespace(dtype=1)}, defaults={})

    def predict(self, name, inputs):
        self.begun.release()
        self.go.wait(10)
        return {"y": 2 * np.asarray(inputs["x"])}


@pytest.fixture
def serve():
    """Start a server with limits; returns its port, and the model behind it."""
    running = []

    def start(max_mb=1.0, **limits):
        model = Model()
        models = SimpleNamespace(turn=Turns(1), parsing=Turns(2), model=lambda name, version=None: model)
        server = start_rest(models, "127.0.0.1", 0, max_mb, ServerLimits(**limits))
        running.append((server, model))
        return SimpleNamespace(port=server.server_address[1], model=model, models=models, rest=server)

    yield start
    for server, model in running:
        model.go.set()
        server.shutdown()
        server.server_close()


def ask(server, method="POST", path="/v1/models/m:predict", body=PREDICT, headers=None):
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    link.request(method, path, body, headers or {})
    response = link.getresponse()
    return response.status, response.read()


def raw(server, text):
    """Send bytes and return all that comes until the server closes, or 3 s have passed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=3) as link:
        link.sendall(text)
        got = b""
        try:
            while piece := link.recv(65536):
                got += piece
        except TimeoutError:
            pass
        return got


HIDDEN = b"GET /v1/models/m HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 21\r\nContent-Length: 60\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 21\r\nTransfer-Encoding: chunked\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: +21\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 2_1\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 0x15\r\n",
        b"GET /v1/models/m HTTP/1.1\r\nContent-Length: 21\r\n",
        b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: identity\r\n",
    ],
)
def test_requests_whose_end_is_in_doubt_get_one_answer(serve, head):
    server = serve()
    got = raw(server, head + b"Host: h\r\n\r\n" + PREDICT + HIDDEN)
    assert got.startswith(b"HTTP/1.1 400 ") and got.count(b"HTTP/1.1") == 1 and b"Connection: close" in got
    assert ask(server)[0] == 200


def test_a_token_is_asked_for(serve):
    server = serve(token=TOKEN)
    assert ask(server)[0] == 401
    assert ask(server, headers={"Authorization": f"Bearer {TOKEN[:-1]}"})[0] == 401
    assert ask(server, "GET", "/metrics", None)[0] == 401
    assert ask(server, headers={"Authorization": f"Bearer {TOKEN}"}) == (200, b'{"predictions": [2.0, 4.0]}')
    assert ask(server, "GET", "/healthz", None) == (200, b'{"status": "ok"}')


@pytest.mark.parametrize("content", ["", "short", "two words that are long enough", "ä" * 20])
def test_bad_tokens_are_refused(tmp_path, content):
    (tmp_path / "token").write_text(content)
    with pytest.raises(InputError, match="expected a word"):
        read_token(tmp_path / "token")


def test_a_client_that_has_gone_frees_its_place(serve):
    server = serve()
    server.model.go.clear()
    busy = threading.Thread(target=ask, args=(server,))
    busy.start()
    assert server.model.begun.acquire(timeout=10)
    link = socket.create_connection(("127.0.0.1", server.port))
    link.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 21\r\n\r\n" + PREDICT)
    wait_for(lambda: server.models.turn.waiting == 1)
    link.close()
    wait_for(lambda: server.models.turn.waiting == 0)
    server.model.go.set()
    busy.join()
    assert not server.model.begun.acquire(timeout=0.3)  # nothing was predicted for the client that had gone
    assert ask(server)[0] == 200


def wait_for(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_request_has_its_time(serve):
    server = serve(request_s=0.5)
    server.model.go.clear()
    busy = threading.Thread(target=ask, args=(server,))
    busy.start()
    assert server.model.begun.acquire(timeout=10)
    assert ask(server)[0] == 504
    server.model.go.set()
    busy.join()
    # A body that comes drop by drop is not waited for, either.
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as link:
        link.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 21\r\n\r\n")
        with contextlib.suppress(OSError):
            for byte in PREDICT[:20]:
                link.sendall(bytes([byte]))
                time.sleep(0.1)
        assert link.recv(100).startswith(b"HTTP/1.1 408 ")


def test_connections_are_limited(serve):
    server = serve(connections=2)
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    time.sleep(0.3)
    assert raw(server, HIDDEN).startswith(b"HTTP/1.1 503 ")
    for link in held:
        link.close()
    wait_for(lambda: raw(server, HIDDEN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))[9:12] == b"200")


def test_json_takes_no_more_memory_than_allowed(serve):
    server = serve(max_mb=16, memory_gb=0.1)
    status, answer = ask(server, body=b'{"instances": [' + b"1," * 10**6 + b"1]}")
    assert status == 400 and b"values in JSON" in answer
    for body in (b"[" * 10**6, b'{"instances": ' + b"9" * 5000 + b"}", b"\xff\xfe", b"NaN"):
        assert ask(server, body=body)[0] == 400


def test_a_body_larger_than_the_memory_is_refused_before_it_is_read(serve):
    server = serve(max_mb=64, memory_gb=0.004)
    got = raw(server, b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n" + b" " * 1_000_001)
    assert got.startswith(b"HTTP/1.1 413 ") and b"takes 0.9537 MB" in got


def test_bodies_wait_until_there_is_memory_for_them(serve):
    server = serve(max_mb=64, memory_gb=0.004)
    bodies = server.rest.RequestHandlerClass.bodies
    large = PREDICT + b" " * 900_000
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(large)
    with contextlib.ExitStack() as stack:
        first, second, idle = (
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)) for _ in range(3)
        )
        idle.sendall(head)  # one that only promises takes nothing
        first.sendall(head + large[:500_000])
        wait_for(lambda: bodies._free < 500_000)
        second.sendall(head + large[:500_000])
        wait_for(lambda: bodies.waiting == 1)
        first.sendall(large[500_000:])
        second.sendall(large[500_000:])
        for link in (first, second):
            assert link.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    wait_for(lambda: bodies._free == 1_000_000)


def test_an_answer_takes_no_more_memory_than_allowed(serve):
    server = serve(max_mb=16, memory_gb=0.01)
    server.model.predict = lambda name, inputs: {"y": np.zeros((1000, 1000))}
    status, answer = ask(server)
    assert status == 400 and b"an answer of 1000000 values" in answer


def test_turns_by_shares_keep_their_order():
    turns, order, gone = Turns(10), [], threading.Event()
    lock, threads = threading.Lock(), []

    def wait(name, share, wanted=lambda: True):
        with contextlib.suppress(RequestError), turns.turn(wanted, share=share), lock:
            order.append(name)

    with turns.turn(share=4):
        for name, share, wanted in (("large", 8, lambda: not gone.is_set()), ("small", 2, lambda: True)):
            threads.append(threading.Thread(target=wait, args=(name, share, wanted)))
            threads[-1].start()
            wait_for(lambda: turns.waiting == len(threads))
        assert order == []  # the small one came later
        gone.set()
        threads[1].join()
        assert order == ["small"]
    threads[0].join()
    with turns.turn(share=10):
        assert turns.waiting == 0


def test_it_ends_after_the_requests_in_progress(serve):
    server = serve()
    server.model.go.clear()
    answers = []
    busy = threading.Thread(target=lambda: answers.append(ask(server)))
    busy.start()
    assert server.model.begun.acquire(timeout=10)
    ending = threading.Thread(target=server.rest.drain, args=(10,))
    ending.start()
    time.sleep(0.3)
    assert ending.is_alive()
    server.model.go.set()
    ending.join()
    busy.join()
    assert answers == [(200, b'{"predictions": [2.0, 4.0]}')]


def test_figures_for_prometheus(serve):
    server = serve()
    ask(server)
    ask(server, body=b"{")
    status, text = ask(server, "GET", "/metrics", None)
    lines = text.decode().splitlines()
    assert status == 200
    assert 'ds3d_requests_total{code="0",interface="rest"} 1.0' in lines
    assert 'ds3d_requests_total{code="3",interface="rest"} 1.0' in lines
    assert 'ds3d_request_seconds_count{interface="rest"} 2.0' in lines
    memory = next(float(line.split()[1]) for line in lines if line.startswith("ds3d_memory_bytes "))
    assert memory > 1e7


def test_turns_are_given_up():
    turns = Turns(1)
    with turns.turn():
        with pytest.raises(RequestError, match="no turn within"), turns.turn(until=time.monotonic() + 0.1):
            pass
        with pytest.raises(RequestError, match="has gone"), turns.turn(lambda: False):
            pass
        assert turns.waiting == 0
    with turns.turn():
        assert json.dumps(turns.waiting) == "0"
