"""What all connections to a prediction server share: its errors, addresses, and trying again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from ds3d_tf.common.errors import InputError, ServerError
from ds3d_tf.serving.client.errors import Connection, Refusal

Result = TypeVar("Result")
DEFAULT_PORTS = {"grpc": 8500, "grpcs": 8500, "http": 8501, "https": 8501}
_MIN_WAIT_S, _MAX_WAIT_S = 0.2, 5.0


def open_connection(server: str, timeout_s: float, root_certificates: bytes | None = None) -> Connection:
    """Return a connection to ``server``; nothing is sent yet.

    Args:
        server: host:port or grpc://host:port (gRPC), grpcs:// (with TLS), http:// or https:// (REST).
        timeout_s: seconds to wait for an answer.
        root_certificates: PEM, for TLS; None: the system's.

    Raises InputError for another kind of address.
    """
    scheme, host, port = parse_address(server)
    if scheme.startswith("grpc"):
        from ds3d_tf.serving.client.grpc import GrpcConnection

        return GrpcConnection(f"{host}:{port}", scheme == "grpcs", timeout_s, root_certificates)
    from ds3d_tf.serving.client.rest import RestConnection

    return RestConnection(host.strip("[]"), port, scheme == "https", timeout_s, root_certificates)


def parse_address(server: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address as above; raises InputError for anything else."""
    try:
        parts = urlsplit(server if "://" in server else f"grpc://{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in DEFAULT_PORTS or parts.path.strip("/") or parts.query:
        raise InputError(f"--server {server}: expected host:port (gRPC), or http://host:port (REST)")
    return parts.scheme, f"[{host}]" if ":" in host else host, port or DEFAULT_PORTS[parts.scheme]


class Retries:
    """Tries again what failed for now, with pauses that double, until ``patience_s`` have passed without success."""

    def __init__(self, server: str, patience_s: float, tell: Callable[[str], None] = lambda text: None) -> None:
        """``server`` names it in errors; ``tell`` gets a sentence when an outage begins and when it is over."""
        self.closed = threading.Event()
        self._server, self._patience_s, self._tell = server, patience_s, tell
        self._out = False
        self._lock = threading.Lock()

    def run(self, action: Callable[[], Result]) -> Result:
        """Return the result of ``action``; raises ServerError when it is refused or patience ends."""
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
                self._report(True, f"{self._server}: {refusal}; trying again for up to {self._patience_s:g} s")
                # Clients that lost the same server at once should not come back at once.
                if self.closed.wait(wait * random.uniform(0.5, 1.0)):
                    raise ServerError(f"{self._server}: given up") from refusal
                wait = min(2 * wait, _MAX_WAIT_S)
            else:
                self._report(False, f"{self._server}: answers again")
                return result

    def _report(self, out: bool, text: str) -> None:
        with self._lock:
            if self._out != out:
                self._out = out
                self._tell(text)
