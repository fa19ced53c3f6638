"""Stops a run whose loss is no longer finite."""

from __future__ import annotations

import math
from typing import Any

import keras


class LossNotFinite(Exception):
    """The loss became NaN or infinite; the message says in which epoch and step."""


class StopWhenNotFinite(keras.callbacks.Callback):
    """Raises LossNotFinite when the mean loss of an epoch is no longer finite.

    Once one step is NaN, the mean stays NaN, so checking every few steps is enough. Each check waits for the device.
    """

    def __init__(self, every_steps: int = 25) -> None:
        super().__init__()
        self.every_steps = every_steps
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the epoch's number for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the loss every few steps."""
        if (batch + 1) % self.every_steps == 0:
            self._check(logs, f"epoch {self._epoch + 1}, by step {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the loss of the epoch and that of the validation frames."""
        self._check(logs, f"epoch {epoch + 1}")

    def _check(self, logs: dict[str, Any] | None, where: str) -> None:
        for name, value in (logs or {}).items():
            if name in ("loss", "val_loss") and not math.isfinite(float(value)):
                raise LossNotFinite(f"{'validation ' if name == 'val_loss' else ''}loss is {float(value)} in {where}")
