"""The interface of a connection to a prediction server, and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Refusal(Exception):
    """A request that failed: ``temporary`` if the same request may succeed later, ``missing`` if the server does not
    have the model or its version."""

    def __init__(self, message: str, *, temporary: bool, missing: bool = False) -> None:
        super().__init__(message)
        self.temporary, self.missing = temporary, missing


class Connection(Protocol):
    """A connection to a server that several threads may use. Methods raise Refusal."""

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

    def version(self, name: str) -> int:
        """Return the version of a model that the server chooses."""

    def close(self) -> None:
        """Close the connection."""


def sentence(message: str) -> str:
    """Return the line of a server's error that says what is wrong, without graph nodes and stack traces."""
    noise = ("Graph execution error", "Detected at node", "<stack traces", "[[{{", "(most recent call")
    lines = [line.strip() for line in message.splitlines()]
    return next((line for line in lines if line and not line.startswith(noise)), message.strip())
