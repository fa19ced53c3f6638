"""The progress bars of a training run."""

from __future__ import annotations

import time
from typing import Any

import keras

from ds3d_tf.common import console
from ds3d_tf.training.callbacks.clock import StepClock


class ProgressBar(keras.callbacks.Callback):
    """Two bars on stderr, for the epoch and the run, with losses and time left; one line for each finished epoch.

    Args:
        epochs: number of epochs of the run.
        steps: steps per epoch.
        clock: measures how much of the time steps wait for data.
        batch_size: frames per step.
        every_seconds: minimum time between two updates of the loss.
    """

    def __init__(self, epochs: int, steps: int, clock: StepClock, batch_size: int, every_seconds: float = 0.5) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps = steps
        self.clock = clock
        self.batch_size = batch_size
        self.every_seconds = every_seconds
        self.first_step = 0
        self._bars = console.progress("steps")
        # The mean speed of a long period, so that the time left includes the validation after each epoch.
        self._bars.speed_estimate_period = 3600.0
        self._run = self._bars.add_task("run", total=epochs * steps)
        self._epoch = self._bars.add_task("epoch", total=steps)
        self._number = 0
        self._done = 0
        self._shown = self._begin = 0.0

    def start(self) -> None:
        """Show the bars."""
        self._bars.start()

    def stop(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restart the epoch's bar."""
        self._number, self._begin, self._done = epoch, time.perf_counter(), 0
        self._bars.reset(self._epoch, total=self.steps, description=f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Update the bars at intervals, because reading the loss waits for the device."""
        now = time.perf_counter()
        if now - self._shown >= self.every_seconds or self.first_step + batch + 1 >= self.steps:
            self._shown, self._done = now, self.first_step + batch + 1
            text = f"epoch {self._number + 1}/{self.epochs}"
            if logs and "loss" in logs:
                text += f"  loss {float(logs['loss']):.4g}"
            text += f"  {self.clock.text(self.batch_size)}".rstrip()
            self._bars.update(self._epoch, completed=self._done, description=text)
            self._bars.update(self._run, completed=self._number * self.steps + self._done)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Show that validation is running."""
        self._bars.update(self._epoch, description=f"epoch {self._number + 1}/{self.epochs}  validating")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the epoch's line."""
        logs = logs or {}
        seconds = time.perf_counter() - self._begin
        columns = [f"epoch {epoch + 1}/{self.epochs}", f"{seconds:.0f} s"]
        for name, label, form in (
            ("loss", "loss", ".4g"),
            ("val_loss", "validation loss", ".4g"),
            ("val_jaccard", "soft Jaccard", ".3f"),
            ("matched_jaccard", "matched Jaccard", ".3f"),
            ("rmse_lateral_nm", "lateral nm", ".0f"),
            ("rmse_axial_nm", "axial nm", ".0f"),
        ):
            if name in logs:
                columns.append(f"{label} {float(logs[name]):{form}}")
        if "steps_per_s" in logs:
            columns.append(f"{logs['steps_per_s']:.3g} steps/s, {self.clock.text(self.batch_size)}")
        self._bars.console.print("  ".join(columns), soft_wrap=True)
