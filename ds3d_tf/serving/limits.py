"""What a server allows: time, connections, memory for requests, and who may ask."""

from __future__ import annotations

import contextlib
import hmac
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.texts import read_text
from ds3d_tf.serving.errors import CANCELLED, DEADLINE_EXCEEDED, INVALID_ARGUMENT, RequestError

_LOOK_S = 0.1
_MIN_TOKEN_CHARACTERS = 16
# A Python number in a list takes its own memory, a place in the list, and a place in the array made of it.
_BYTES_PER_JSON_VALUE = 48


@dataclass(frozen=True)
class ServerLimits:
    """Limits of one server.

    Attributes:
        request_s: seconds within which a request is answered or given up.
        connections: REST connections, and gRPC requests, at a time.
        memory_gb: memory for the numbers of JSON requests together with predictions, GB.
        token: what clients must show; None: nothing.
        certificate: PEM file with the server's certificate and its chain; None: no TLS.
        key: PEM file of its private key; None: in the same file.
    """

    request_s: float = 120.0
    connections: int = 256
    memory_gb: float = 4.0
    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None

    def allows(self, authorization: str | None) -> bool:
        """Return whether a request may pass that shows this header ``Authorization``."""
        if self.token is None:
            return True
        return hmac.compare_digest((authorization or "").encode(), f"Bearer {self.token}".encode())

    def check_json(self, body: bytes) -> None:
        """Refuse a JSON text whose numbers would take more than a quarter of the memory; raises RequestError."""
        values = body.count(b",") + body.count(b"[") + body.count(b"{")
        if values * _BYTES_PER_JSON_VALUE > self.memory_gb * 1e9 / 4:
            raise RequestError(
                INVALID_ARGUMENT, f"{values} values in JSON, more than this server takes; send fewer, or use gRPC"
            )


def read_token(path: str | Path) -> str:
    """Return the token that a file holds; raises InputError for a missing, empty or short one."""
    token = read_text(path, "token").strip()
    if len(token) < _MIN_TOKEN_CHARACTERS or not token.isascii() or len(token.split()) != 1:
        raise InputError(
            f"{argument('token_file')} {path}: expected a word of {_MIN_TOKEN_CHARACTERS} or more characters, as "
            "`openssl rand -hex 32` writes"
        )
    return token


class Turns:
    """Admits a limited number of threads; the others wait in the order in which they came, while they are wanted.

    Python's semaphores may admit a thread again that has just left, before those that wait: some would never run.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._queue: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._queue)

    @contextlib.contextmanager
    def turn(self, wanted: Callable[[], bool] = lambda: True, until: float = math.inf) -> Iterator[None]:
        """Wait for a turn and hold it for the block.

        Args:
            wanted: whether somebody still waits for the answer; asked from time to time.
            until: time of ``time.monotonic`` after which it is too late, seconds.

        Raises RequestError if nobody wants the answer any more, or it is too late.
        """
        self._wait(wanted, until)
        try:
            if not wanted():
                raise RequestError(CANCELLED, "the client has gone")
            yield
        finally:
            self._leave()

    def _wait(self, wanted: Callable[[], bool], until: float) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Event()
            self._queue.append(mine)
        while not mine.wait(_LOOK_S):
            late = time.monotonic() > until
            if not late and wanted():
                continue
            with self._lock:
                if mine.is_set():  # just now
                    break
                self._queue.remove(mine)
            if late:
                raise RequestError(DEADLINE_EXCEEDED, "no turn within the time for a request; try again later")
            raise RequestError(CANCELLED, "the client has gone")

    def _leave(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._free += 1

    def __enter__(self) -> None:
        self._wait(lambda: True, math.inf)

    def __exit__(self, *failure: object) -> None:
        self._leave()
