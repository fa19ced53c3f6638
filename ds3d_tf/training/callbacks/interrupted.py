"""The callback that ends a training at Ctrl-C, between two steps."""

from __future__ import annotations

from typing import Any

import keras

from ds3d_tf.common.interrupt import PatientInterrupt


class StopWhenInterrupted(keras.callbacks.Callback):
    """Raises KeyboardInterrupt before the next step after Ctrl-C was pressed, so that files are never half written.

    Args:
        interrupt: an entered ``PatientInterrupt``.
    """

    def __init__(self, interrupt: PatientInterrupt) -> None:
        super().__init__()
        self.interrupt = interrupt

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop if asked to."""
        self.interrupt.check()

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop if asked to."""
        self.interrupt.check()
