"""Callbacks that see a step's figures without waiting for it."""

from __future__ import annotations

from typing import Any

import keras


class LazyCallbackList(keras.callbacks.CallbackList):
    """Hands the logs of steps on as they come, which may be before the device has worked them out.

    Keras's own list turns them into numbers after every step, and so waits for the device every time. ``float(value)``
    in a callback still gives the number, and waits.
    """

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the callbacks."""
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs=logs or {})

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the callbacks."""
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs=logs or {})

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the callbacks."""
        for callback in self.callbacks:
            callback.on_test_batch_begin(batch, logs=logs or {})

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the callbacks."""
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs=logs or {})
