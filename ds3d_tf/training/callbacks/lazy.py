"""Callbacks that get the logs of a step without waiting for the device."""

from __future__ import annotations

from typing import Any

import keras


class LazyCallbackList(keras.callbacks.CallbackList):
    """Passes the logs of steps on as tensors, whose values the device may still be computing.

    Keras's own list turns them into numbers after every step, and so waits for the device every time. ``float(value)``
    in a callback still gives the number, and waits for it.
    """

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks."""
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs=logs or {})

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks."""
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs=logs or {})

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks."""
        for callback in self.callbacks:
            callback.on_test_batch_begin(batch, logs=logs or {})

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks."""
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs=logs or {})
