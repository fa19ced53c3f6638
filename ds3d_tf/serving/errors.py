"""Rejected requests, with the codes that gRPC and TensorFlow share."""

from __future__ import annotations

# The canonical codes of gRPC; TensorFlow's errors use the same codes, and the REST server maps them to HTTP's.
CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = 1, 3, 4, 5
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 12, 13, 14, 16


class RequestError(Exception):
    """A rejected request: ``code`` is one of gRPC's canonical status codes, the text says why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
