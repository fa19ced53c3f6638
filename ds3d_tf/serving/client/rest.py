"""A connection to a prediction server over REST."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np

from ds3d_tf.common.texts import parse_json
from ds3d_tf.serving.client.errors import Refusal, sentence

_TEMPORARY = (408, 425, 429, 499, 500, 502, 503, 504)


class RestConnection:
    """The REST interface of one server; each thread keeps a separate connection open."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: bool,
        timeout_s: float,
        root_certificates: bytes | None = None,
        token: str | None = None,
    ) -> None:
        """``timeout_s`` is the number of seconds to wait for an answer, ``token`` what the server asks for."""
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._context = None
        if tls:
            self._context = ssl.create_default_context(cadata=root_certificates.decode() if root_certificates else None)
        self._local = threading.local()

    def predict(
        self, name: str, version: int | None, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a signature.

        Args:
            name: of the model.
            version: of the model; None: the server's choice.
            signature: its name.
            inputs: an array for each input, of the signature's shape, dtype and unit.

        Returns:
            an array for each output, of the signature's shape and unit.
        """
        path = f"/v1/models/{quote(name, safe='')}" + ("" if version is None else f"/versions/{version}") + ":predict"
        lists = {key: np.asarray(value).tolist() for key, value in inputs.items()}
        answer = self._request("POST", path, {"signature_name": signature, "inputs": lists})
        outputs = answer.get("outputs")
        if not isinstance(outputs, dict):
            raise Refusal("the answer has no outputs by name; is this TensorFlow Serving?", temporary=False)
        # Whole numbers become int64, other numbers float32, and text bytes.
        return {key: _array(value) for key, value in outputs.items()}

    def version(self, name: str) -> int:
        """Return the version of a model that the server chooses: its highest that is available."""
        answer = self._request("GET", f"/v1/models/{quote(name, safe='')}")
        versions = [
            int(status["version"])
            for status in answer.get("model_version_status", [])
            if status.get("state") == "AVAILABLE"
        ]
        if not versions:
            raise Refusal(f"no version of model {name!r} is available yet", temporary=True)
        return max(versions)

    def close(self) -> None:
        """Close the connection of this thread."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _request(self, method: str, path: str, content: Any = None) -> dict[str, Any]:
        body = None if content is None else json.dumps(content, separators=(",", ":")).encode()
        try:
            connection = self._connection()
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Refusal(f"no answer ({str(error) or type(error).__name__})", temporary=True) from error
        try:
            answer = parse_json(text, "answer")
            if not isinstance(answer, dict):
                raise ValueError("not a JSON object")
        except ValueError as error:
            raise Refusal(f"the answer is not JSON (HTTP {status})", temporary=status in _TEMPORARY) from error
        if status != 200:
            raise Refusal(
                f"{sentence(str(answer.get('error', ''))) or 'refused'} (HTTP {status})",
                temporary=status in _TEMPORARY,
                missing=status == 404,
            )
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            if self._context is not None:
                connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._timeout_s, context=self._context
                )
            else:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            self._local.connection = connection
        return connection


def _array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind == "U":
        return np.array([text.encode() for text in array.ravel()], object).reshape(array.shape)
    return array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
