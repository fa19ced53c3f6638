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
        memory_gb: memory for one prediction, and beside it for REST requests (a quarter for their texts, a quarter for
            each of the two that are read or written as JSON at a time), GB.
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

    @property
    def body_bytes(self) -> int:
        """A quarter of the memory: for the bodies of all REST requests that are read or wait."""
        return int(self.memory_gb * 1e9 / 4)

    def check_answer(self, values: int) -> None:
        """Refuse an answer in JSON whose numbers would take more than a quarter of the memory; raises RequestError."""
        if values * _BYTES_PER_JSON_VALUE > self.memory_gb * 1e9 / 4:
            raise RequestError(
                INVALID_ARGUMENT, f"an answer of {values} values in JSON, more than this server gives; use gRPC"
            )

    def check_json(self, body: bytes | bytearray) -> None:
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
    """Admits threads up to a limit; the others wait in the order in which they came, while they are wanted.

    The limit is a number of threads, or of something else, such as bytes, of which each takes its share. Python's
    semaphores may admit a thread again that has just left, before those that wait: some would never run.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._queue: deque[tuple[threading.Event, int]] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._queue)

    @contextlib.contextmanager
    def turn(
        self, wanted: Callable[[], bool] = lambda: True, until: float = math.inf, share: int = 1
    ) -> Iterator[None]:
        """Wait for a turn and hold it for the block.

        Args:
            wanted: whether somebody still waits for the answer; asked from time to time.
            until: time of ``time.monotonic`` after which it is too late, seconds.
            share: how much of the limit it takes; not more than all of it.

        Raises RequestError if nobody wants the answer any more, or it is too late.
        """
        self._wait(wanted, until, share)
        try:
            if not wanted():
                raise RequestError(CANCELLED, "the client has gone")
            yield
        finally:
            self._leave(share)

    def _wait(self, wanted: Callable[[], bool], until: float, share: int) -> None:
        with self._lock:
            if not self._queue and self._free >= share:
                self._free -= share
                return
            mine = threading.Event()
            self._queue.append((mine, share))
        while not mine.wait(_LOOK_S):
            late = time.monotonic() > until
            if not late and wanted():
                continue
            with self._lock:
                if mine.is_set():  # just now
                    break
                self._queue.remove((mine, share))
                self._admit()  # it may have been the first, and the next ones need less
            if late:
                raise RequestError(DEADLINE_EXCEEDED, "no turn within the time for a request; try again later")
            raise RequestError(CANCELLED, "the client has gone")

    def _leave(self, share: int) -> None:
        with self._lock:
            self._free += share
            self._admit()

    def _admit(self) -> None:
        while self._queue and self._queue[0][1] <= self._free:
            event, share = self._queue.popleft()
            self._free -= share
            event.set()
