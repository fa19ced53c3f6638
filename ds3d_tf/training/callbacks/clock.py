"""How fast a run is, and how much of its time it waits for data."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import keras


class StepClock(keras.callbacks.Callback):
    """Adds ``steps_per_s`` and ``data_wait`` (share of the time that steps waited for the stream, 0 … 1) to the logs.

    It never waits for the device. The first step, in which the network is compiled, does not count.

    Attributes:
        steps: steps counted in this epoch so far.
        waited_s: seconds that they waited for the stream.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.waited_s = 0.0
        self._begin = self._end = 0.0
        self._watched = False
        self._finished = False

    @contextlib.contextmanager
    def watching(self, model: Any) -> Iterator[None]:
        """Time how long a compiled model's training steps wait for the stream, inside a ``with`` block."""
        model.make_train_function()
        inner = model.train_function
        # With PyTorch, Keras hands each step its batch, so there is no iterator to time.
        self._watched = keras.backend.backend() in ("tensorflow", "jax")

        def step(*arguments: Any) -> Any:
            *state, batches = arguments
            begin = time.perf_counter()
            batch = next(batches)
            self.waited_s += time.perf_counter() - begin
            return inner(*state, iter((batch,)))

        if self._watched:
            model.train_function = step
        try:
            yield
        finally:
            if model.train_function is step:
                model.train_function = inner

    @property
    def steps_per_s(self) -> float:
        """Steps per second in this epoch; 0 before the second step."""
        seconds = self._end - self._begin
        return self.steps / seconds if self.steps and seconds > 0 else 0.0

    @property
    def data_wait(self) -> float:
        """Share of the time in which steps waited for the stream, 0 … 1."""
        seconds = self._end - self._begin
        return min(self.waited_s / seconds, 1.0) if self.steps and seconds > 0 else 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reset the counters."""
        self.steps, self._begin, self._finished = -1, 0.0, False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the step."""
        self._end = time.perf_counter()
        self.steps += 1
        if self.steps == 0:
            self._begin, self.waited_s = self._end, 0.0

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Stop the clock: validation starts, so all training steps are done."""
        self._finish()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the metrics to the logs, for the callbacks that come later."""
        self._finish()
        if logs is not None and self.steps > 0:
            logs["steps_per_s"] = self.steps_per_s
            if self._watched:
                logs["data_wait"] = self.data_wait

    def text(self, frames: int) -> str:
        """Return the metrics as text, for ``frames`` frames per step; empty before the second step."""
        if not self.steps_per_s:
            return ""
        waiting = f", waiting for data {self.data_wait:.0%}" if self._watched else ""
        return f"{self.steps_per_s * frames:.3g} frames/s{waiting}"

    def _finish(self) -> None:
        if not self._finished:
            self._end, self._finished = time.perf_counter(), True
