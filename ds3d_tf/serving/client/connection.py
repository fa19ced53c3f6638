"""What all connections to a prediction server share: addresses, and retries."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from ds3d_tf.common.errors import InputError, ServerError, argument
from ds3d_tf.serving.client.errors import Connection, Refusal

Result = TypeVar("Result")
DEFAULT_PORTS = {"grpc": 8500, "grpcs": 8500, "http": 8501, "https": 8501}
_MIN_WAIT_S, _MAX_WAIT_S = 0.2, 5.0


def open_connection(
    server: str, timeout_s: float, root_certificates: bytes | None = None, token: str | None = None
) -> Connection:
    """Return a connection to ``server``; nothing is sent yet.

    Args:
        server: host:port or grpc://host:port (gRPC), grpcs:// (with TLS), http:// or https:// (REST).
        timeout_s: seconds to wait for an answer.
        root_certificates: PEM, for TLS; None: the system's.
        token: bearer token that the server asks for; None: none.

    Raises InputError for any other address.
    """
    scheme, host, port = parse_address(server)
    if scheme.startswith("grpc"):
        from ds3d_tf.serving.client.grpc import GrpcConnection

        return GrpcConnection(f"{host}:{port}", scheme == "grpcs", timeout_s, root_certificates, token)
    from ds3d_tf.serving.client.rest import RestConnection

    return RestConnection(host.strip("[]"), port, scheme == "https", timeout_s, root_certificates, token)


def parse_address(server: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address as above; raises InputError for anything else."""
    try:
        url = urlsplit(server if "://" in server else f"grpc://{server}")
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if not host or url.scheme not in DEFAULT_PORTS or url.path.strip("/") or url.query:
        raise InputError(f"{argument('server')} {server}: expected host:port (gRPC), or http://host:port (REST)")
    return url.scheme, f"[{host}]" if ":" in host else host, port or DEFAULT_PORTS[url.scheme]


class Retries:
    """Retries temporary failures, with pauses that double, until ``patience_s`` seconds have passed without success."""

    def __init__(self, server: str, patience_s: float, report: Callable[[str], None] = lambda text: None) -> None:
        """``server`` is its name in errors; ``report`` gets a sentence when an outage begins and when it is over."""
        self.closed = threading.Event()
        self._server, self._patience_s, self._on_change = server, patience_s, report
        self._out = False
        self._lock = threading.Lock()

    def run(self, action: Callable[[], Result]) -> Result:
        """Return the result of ``action``; raises ServerError if it is refused or the time is over."""
        begin, wait = time.monotonic(), _MIN_WAIT_S
        while True:
            try:
                result = action()
            except Refusal as refusal:
                if not refusal.temporary:
                    raise ServerError(f"{self._server}: {refusal}") from refusal
                if time.monotonic() - begin >= self._patience_s:
                    raise ServerError(
                        f"{self._server}: no success within {self._patience_s:g} s ({refusal})"
                    ) from refusal
                self._report(True, f"{self._server}: {refusal}; retrying for up to {self._patience_s:g} s")
                # Random pauses: clients that lost the server at the same time should not all retry at the same time.
                if self.closed.wait(wait * random.uniform(0.5, 1.0)):
                    raise ServerError(f"{self._server}: stopped retrying") from refusal
                wait = min(2 * wait, _MAX_WAIT_S)
            else:
                self._report(False, f"{self._server}: answers again")
                return result

    def _report(self, out: bool, text: str) -> None:
        with self._lock:
            if self._out != out:
                self._out = out
                self._on_change(text)
