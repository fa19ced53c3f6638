"""TensorFlow Serving's REST interface around models of this process."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.texts import parse_json
from ds3d_tf.serving.errors import CANCELLED, INVALID_ARGUMENT, NOT_FOUND, UNAUTHENTICATED, RequestError
from ds3d_tf.serving.limits import ServerLimits, Turns
from ds3d_tf.serving.metrics import Metrics
from ds3d_tf.serving.rest_json import answer_of, inputs_of
from ds3d_tf.serving.served_model import ServedModel
from ds3d_tf.serving.served_models import ServedModels

_HTTP_STATUS = {1: 499, 3: 400, 4: 504, 5: 404, 8: 429, 9: 400, 11: 400, 12: 501, 14: 503, 16: 401}
_PATH = re.compile(r"^/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,18}))?(?P<what>/metadata|:\w+)?$")
_SECONDS_OF_SILENCE = 30
_MAX_DISCARDED_BYTES = 2**28
_PIECE = 2**16
# What of a body is read before the memory for all of it is taken: a client that only promises holds up nobody.
_FIRST_BYTES = 2**16


class RestServer(http.server.ThreadingHTTPServer):
    """A server whose requests in progress can be counted and waited for."""

    daemon_threads = True
    request_queue_size = 128
    limits: ServerLimits
    context: ssl.SSLContext | None = None

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.draining = False
        self._answering = 0
        self._idle = threading.Condition()
        super().__init__(address, handler)

    def admit(self, number: int) -> None:
        """Take ``number`` connections at a time."""
        self._free = threading.BoundedSemaphore(number)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, or refuse it if there are too many."""
        if not self._free.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the requests of a connection."""
        try:
            if self.context is not None:
                request.settimeout(_SECONDS_OF_SILENCE)
                try:
                    request = self.context.wrap_socket(request, server_side=True)
                except OSError:  # not TLS, or gone
                    self.shutdown_request(request)
                    return
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request in progress for the block."""
        with self._idle:
            self._answering += 1
        try:
            yield
        finally:
            with self._idle:
                self._answering -= 1
                self._idle.notify_all()

    def drain(self, seconds: float) -> None:
        """Take no new requests, and wait up to ``seconds`` for those in progress."""
        self.draining = True
        self.shutdown()
        with self._idle:
            self._idle.wait_for(lambda: self._answering == 0, seconds)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""


def start_rest(
    models: ServedModels,
    host: str,
    port: int,
    max_mb: float,
    limits: ServerLimits | None = None,
    metrics: Metrics | None = None,
) -> RestServer:
    """Serve the models in threads until the returned server is shut down.

    Port 0 takes a free one; requests of more than ``max_mb`` megabytes are rejected. ``limits`` are those of the
    server, ``metrics`` its figures.
    Raises InputError if the port is in use, or the certificate cannot be used.
    """
    limits = limits or ServerLimits()

    class Handler(_Handler):
        served, max_bytes = models, int(max_mb * 2**20)
        timeout = _SECONDS_OF_SILENCE

    Handler.bodies = Turns(limits.body_bytes)
    Handler.limits, Handler.metrics = limits, metrics or Metrics(lambda: models.turn.waiting)
    context = None
    if limits.certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(limits.certificate, limits.key)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{argument('tls_cert')} {limits.certificate}: not a certificate with its private key in PEM ({error})"
            ) from error
    try:
        server = RestServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot listen on {host}:{port}: {reason.lower()}") from error
    server.context = context
    server.admit(limits.connections)
    threading.Thread(target=server.serve_forever, name="rest", daemon=True).start()
    return server


class _Handler(http.server.BaseHTTPRequestHandler):
    served: ServedModels
    max_bytes: int
    bodies: Turns
    limits: ServerLimits
    metrics: Metrics
    _until: float
    protocol_version = "HTTP/1.1"
    # Headers and body are sent in one packet each; with Nagle's algorithm the second would wait for an acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._reply(self._get)

    def do_POST(self) -> None:
        self._reply(self._post)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Do not log each request on the terminal."""

    def _reply(self, action: Callable[[], Any]) -> None:
        server: Any = self.server
        self._until = time.monotonic() + self.limits.request_s
        with server.answering():
            try:
                with self.metrics.request("rest"):
                    self._check_framing()
                    content = action()
                status, body = 200, content if isinstance(content, bytes) else json.dumps(content).encode()
            except RequestError as error:
                status, body = _HTTP_STATUS.get(error.code, 500), json.dumps({"error": str(error)}).encode()
                if error.code in (CANCELLED, UNAUTHENTICATED):
                    self.close_connection = True
            except _HttpError as error:
                status, body = error.status, json.dumps({"error": str(error)}).encode()
            except OSError:
                raise
            except Exception as error:  # one failed request must not stop the server
                status, body = 500, json.dumps({"error": f"{type(error).__name__}: {str(error)[:300]}"}).encode()
            self.close_connection = self.close_connection or server.draining
            plain = isinstance(body, bytes) and self.path == "/metrics" and status == 200
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4" if plain else "application/json")
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    def _check_framing(self) -> None:
        """Refuse a request whose end two servers may see in different places, and forget what follows it."""
        lengths = self.headers.get_all("Content-Length", [])
        strange = self.headers.get("Transfer-Encoding") is not None or len(lengths) > 1
        strange = strange or any(not re.fullmatch("[0-9]{1,15}", length) for length in lengths)
        if self.command == "GET" and lengths not in ([], ["0"]):
            strange = True
        if strange:
            self.close_connection = True
            raise _HttpError(400, "expected one Content-Length, no Transfer-Encoding, and no content with GET")

    def _check_token(self) -> None:
        if not self.limits.allows(self.headers.get("Authorization")):
            self.close_connection = True
            raise RequestError(UNAUTHENTICATED, "this server asks for a token (Authorization: Bearer …)")

    def _wanted(self) -> bool:
        """Return whether the client is still there."""
        try:
            ready, _, _ = select.select([self.connection], [], [], 0)
            if not ready or isinstance(self.connection, ssl.SSLSocket):
                return True
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except (OSError, ValueError):
            return False

    def _path(self) -> tuple[str, ServedModel, str]:
        match = _PATH.match(self.path.split("?")[0])
        if match is None:
            raise RequestError(NOT_FOUND, f"{self.path}: expected /v1/models/NAME[/versions/N][:predict or /metadata]")
        version = match["version"]
        return match["name"], self.served.model(match["name"], int(version) if version else None), match["what"] or ""

    def _get(self) -> Any:
        server: Any = self.server
        if self.path == "/healthz":
            if server.draining:
                raise _HttpError(503, "stopping")
            return {"status": "ok"}
        self._check_token()
        if self.path == "/metrics":
            return self.metrics.text()
        name, model, what = self._path()
        if what == "":
            status = {"error_code": "OK", "error_message": ""}
            return {"model_version_status": [{"version": str(model.version), "state": "AVAILABLE", "status": status}]}
        if what != "/metadata":
            raise _HttpError(405, f"{what}: expected a POST request")
        from google.protobuf.json_format import MessageToDict

        definitions = {
            key: MessageToDict(value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            for key, value in model.signatures.items()
        }
        return {
            "model_spec": {"name": name, "signature_name": "", "version": str(model.version)},
            "metadata": {"signature_def": {"signature_def": definitions}},
        }

    def _post(self) -> Any:
        self._check_token()
        length = self._length()
        body = bytearray()
        self._read(min(length, _FIRST_BYTES), body)
        # The body's share of the memory is kept for the numbers in it.
        with self.bodies.turn(self._wanted, self._until, length):
            self._read(length - len(body), body)
            if len(body) < length:
                self.close_connection = True
                raise _HttpError(400, "the request ended early")
            return self._predict(body)

    def _predict(self, body: bytearray) -> bytes:
        _, model, what = self._path()
        if what != ":predict":
            raise RequestError(NOT_FOUND, f"{self.path}: expected :predict")
        self.limits.check_json(body)
        with self.served.parsing.turn(self._wanted, self._until):
            signature, inputs, rows = self._request(body, model)
        body.clear()
        with self.served.turn.turn(self._wanted, self._until):
            outputs = model.predict(signature, inputs)
        self.limits.check_answer(sum(array.size for array in outputs.values()))
        with self.served.parsing.turn(self._wanted):
            return json.dumps(answer_of(outputs, rows)).encode()

    def _request(self, body: bytearray, model: ServedModel) -> tuple[str, dict[str, np.ndarray], bool]:
        """Return the signature's name, the inputs and whether they have one row per frame."""
        try:
            request = parse_json(body, "request")
        except InputError as error:
            raise RequestError(INVALID_ARGUMENT, str(error)[:200]) from error
        if not isinstance(request, dict):
            raise RequestError(INVALID_ARGUMENT, "expected a JSON object")
        signature = request.get("signature_name", "")
        if not isinstance(signature, str):
            raise RequestError(INVALID_ARGUMENT, "signature_name: expected a string")
        return signature, *inputs_of(request, model.signature(signature)[1])

    def _length(self) -> int:
        """Return the length of the content, which fits into what the server takes."""
        length = self.headers.get("Content-Length", "")
        if not length:
            self.close_connection = True
            raise _HttpError(411, "Content-Length is missing")
        most = min(self.max_bytes, self.limits.body_bytes)
        if int(length) > most:
            # A client reads the answer only after it has sent everything, so read and discard the rest.
            self.close_connection = True
            self._read(min(int(length), _MAX_DISCARDED_BYTES), None)
            raise _HttpError(413, f"request of {int(length) / 2**20:.1f} MB; this server takes {most / 2**20:.4g} MB")
        return int(length)

    def _read(self, left: int, content: bytearray | None) -> None:
        """Add ``left`` bytes of the request to ``content`` (None: forget them), as they come, no later than allowed."""
        while left > 0:
            if time.monotonic() > self._until:
                self.close_connection = True
                raise _HttpError(408, f"the request took longer than {self.limits.request_s:g} s to come")
            try:
                piece = self.rfile.read1(min(left, _PIECE))  # type: ignore[attr-defined]
            except TimeoutError:
                self.close_connection = True
                raise _HttpError(408, f"nothing came for {_SECONDS_OF_SILENCE} s") from None
            if not piece:
                break
            left -= len(piece)
            if content is not None:
                content += piece


class _HttpError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
