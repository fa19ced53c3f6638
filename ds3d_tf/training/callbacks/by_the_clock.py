"""Training for a given time: the learning rate follows the clock, and the run ends when the time is over."""

from __future__ import annotations

import time
from typing import Any

import keras

from ds3d_tf.setup import Setup
from ds3d_tf.training.compiling import learning_rate_after


class ByTheClock(keras.callbacks.Callback):
    """Sets the learning rate by the time spent, or by the steps done if these will be over first, and ends the run.

    The time is that of the training, its validation included; in a resumed run it continues where the checkpoint was.
    With JAX, whose steps keep the learning rate of their epoch, it changes from epoch to epoch.

    Args:
        setup: the ``Setup``; ``learning.minutes`` is the length of the run, `plateau` schedules keep their own rate.
        steps: steps per epoch.

    Attributes:
        spent_s: seconds spent.
    """

    def __init__(self, setup: Setup, steps: int) -> None:
        super().__init__()
        assert setup.learning.minutes is not None
        self.setup = setup
        self.limit_s = 60 * setup.learning.minutes
        self.steps = steps
        self._all_steps = max(setup.learning.epochs * steps, 1)
        self._follows = setup.learning.schedule == "cosine"
        self._earlier = 0.0
        self._begin: float | None = None
        self._epoch = 0

    @property
    def spent_s(self) -> float:
        """Seconds spent, those before a checkpoint included."""
        return self._earlier + (0.0 if self._begin is None else time.monotonic() - self._begin)

    @spent_s.setter
    def spent_s(self, seconds: float) -> None:
        """Set the seconds spent so far; the clock goes on from there."""
        self._earlier = seconds
        if self._begin is not None:
            self._begin = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self.spent_s >= self.limit_s

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        if self._begin is None:
            self._begin = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the epoch's number, and set the learning rate where steps cannot."""
        self._epoch = epoch
        self._set(0)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the learning rate of the step."""
        self._set(batch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """End the run after the first step beyond its time; its unfinished epoch is validated and kept."""
        if self.over:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """End the run if validation took the rest of its time."""
        if self.over:
            self.model.stop_training = True

    def _set(self, batch: int) -> None:
        if self._follows:
            steps = (self._epoch * self.steps + batch) / self._all_steps
            done = min(max(self.spent_s / self.limit_s, steps), 1.0)
            self.model.optimizer.learning_rate = learning_rate_after(self.setup, done)
