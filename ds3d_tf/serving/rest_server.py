"""TensorFlow Serving's REST interface around models of this process."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.serving.served_model import INVALID_ARGUMENT, NOT_FOUND, RequestError, ServedModel
from ds3d_tf.serving.served_models import ServedModels

_HTTP_STATUS = {1: 499, 3: 400, 4: 504, 5: 404, 8: 429, 9: 400, 11: 400, 12: 501, 14: 503}
_PATH = re.compile(r"^/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+))?(?P<what>/metadata|:\w+)?$")
_SECONDS_OF_SILENCE = 120
_MAX_DISCARDED_BYTES = 2**30


def start_rest(models: ServedModels, host: str, port: int, max_mb: float) -> http.server.ThreadingHTTPServer:
    """Serve the models in threads until the returned server is shut down.

    Port 0 takes a free one; requests of more than ``max_mb`` megabytes are rejected.
    Raises InputError if the port is in use.
    """

    class Handler(_Handler):
        served, max_bytes = models, int(max_mb * 2**20)
        timeout = _SECONDS_OF_SILENCE

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Ignore clients that close the connection."""

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}") from error
    threading.Thread(target=server.serve_forever, name="rest", daemon=True).start()
    return server


def inputs_of(request: Any, definition: Any) -> tuple[dict[str, np.ndarray], bool]:
    """Return the arrays of a Predict request in JSON, and whether it has one row per frame ("instances").

    Args:
        request: the decoded JSON.
        definition: the signature's ``SignatureDef``.

    Returns:
        an array for each input, of the signature's dtype and unit and the shape that was sent; True for rows.

    Raises RequestError for anything else.
    """
    names = list(definition.inputs)
    if ("instances" in request) == ("inputs" in request):
        raise RequestError(INVALID_ARGUMENT, "expected either 'instances' or 'inputs' in the JSON object")
    rows = "instances" in request
    values = request["instances" if rows else "inputs"]
    if rows:
        if not isinstance(values, list) or not values:
            raise RequestError(INVALID_ARGUMENT, "instances: expected a list of one or more")
        if all(isinstance(value, dict) for value in values):
            keys = set(values[0])
            if any(set(value) != keys for value in values):
                raise RequestError(INVALID_ARGUMENT, "instances: all must have the same keys")
            values = {name: [value[name] for value in values] for name in values[0]}
    if not isinstance(values, dict):
        required = [name for name in names if name not in definition.defaults]
        if len(required) != 1:
            raise RequestError(INVALID_ARGUMENT, f"expected an object with {', '.join(names)}")
        values = {required[0]: values}
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise RequestError(INVALID_ARGUMENT, f"no input {unknown[0]!r}; the signature has {', '.join(names)}")
    return {name: _array(name, value, definition.inputs[name].dtype) for name, value in values.items()}, rows


def _array(name: str, value: Any, code: int) -> np.ndarray:
    import tensorflow as tf

    dtype = tf.dtypes.as_dtype(code)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise RequestError(INVALID_ARGUMENT, f"{name}: rows of different lengths") from error
    kinds = "b" if dtype == tf.bool else "U" if dtype == tf.string else "iu" if dtype.is_integer else "iuf"
    if array.size and array.dtype.kind not in kinds:
        raise RequestError(INVALID_ARGUMENT, f"{name}: expected values of {dtype.name}, got {_example(value)}")
    if dtype == tf.string:
        return np.array([text.encode() for text in array.ravel()], object).reshape(array.shape)
    with np.errstate(over="ignore"):
        return array.astype(dtype.as_numpy_dtype)


def _example(value: Any) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    return json.dumps(value)[:60]


def answer_of(outputs: dict[str, np.ndarray], rows: bool) -> dict[str, Any]:
    """Return outputs in the form of TensorFlow Serving's JSON.

    Args:
        outputs: an array for each output, of the signature's shape and unit.
        rows: whether they belong to "instances".
    """
    lists = {name: _decoded(array) for name, array in outputs.items()}
    if not rows:
        return {"outputs": next(iter(lists.values())) if len(lists) == 1 else lists}
    if len(lists) == 1:
        return {"predictions": next(iter(lists.values()))}
    return {"predictions": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]}


def _decoded(array: np.ndarray) -> list[Any]:
    if array.dtype.kind == "O":
        return np.array([text.decode() for text in array.ravel()], object).reshape(array.shape).tolist()
    return array.tolist()


class _Handler(http.server.BaseHTTPRequestHandler):
    served: ServedModels
    max_bytes: int
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
        try:
            status, body = 200, json.dumps(action())
        except RequestError as error:
            status, body = _HTTP_STATUS.get(error.code, 500), json.dumps({"error": str(error)})
        except _HttpError as error:
            status, body = error.status, json.dumps({"error": str(error)})
        except OSError:
            raise
        except Exception as error:  # one failed request must not stop the server
            status, body = 500, json.dumps({"error": f"{type(error).__name__}: {error}"})
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def _path(self) -> tuple[str, ServedModel, str]:
        match = _PATH.match(self.path.split("?")[0])
        if match is None:
            raise RequestError(NOT_FOUND, f"{self.path}: expected /v1/models/NAME[/versions/N][:predict or /metadata]")
        version = match["version"]
        return match["name"], self.served.model(match["name"], int(version) if version else None), match["what"] or ""

    def _get(self) -> Any:
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
        body = self._body()
        _, model, what = self._path()
        if what != ":predict":
            raise RequestError(NOT_FOUND, f"{self.path}: expected :predict")
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestError(INVALID_ARGUMENT, f"not valid JSON: {str(error)[:200]}") from error
        del body
        if not isinstance(request, dict):
            raise RequestError(INVALID_ARGUMENT, "expected a JSON object")
        signature = request.get("signature_name", "")
        if not isinstance(signature, str):
            raise RequestError(INVALID_ARGUMENT, "signature_name: expected a string")
        inputs, rows = inputs_of(request, model.signature(signature)[1])
        with self.served.turn:
            outputs = model.predict(signature, inputs)
        return answer_of(outputs, rows)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            raise _HttpError(411, "Content-Length is missing")
        if int(length) > self.max_bytes:
            # A client reads the answer only after it has sent everything, so read and discard the rest.
            self.close_connection = True
            self._discard(min(int(length), _MAX_DISCARDED_BYTES))
            raise _HttpError(
                413, f"request of {int(length) / 2**20:.1f} MB; this server takes {self.max_bytes / 2**20:g} MB"
            )
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            raise _HttpError(400, "the request ended early")
        return body

    def _discard(self, length: int) -> None:
        while length > 0:
            got = len(self.rfile.read(min(length, 2**20)))
            length = length - got if got else 0


class _HttpError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
