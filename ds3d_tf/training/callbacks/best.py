"""The best networks of a run, as files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from ds3d_tf.common.files import whole_file


class KeepBest(keras.callbacks.Callback):
    """Writes the network to a file whenever the watched value is better than in all epochs before.

    Args:
        path: the file.
        monitor: name of the watched value in the logs.
        higher_is_better: whether large values are good.
        write: writes a model to a path; None: as a ``.keras`` file.

    Attributes:
        value: the best so far; None before the first epoch.
        epoch: its epoch, from 1; 0 before the first.
    """

    def __init__(
        self,
        path: str | Path,
        monitor: str,
        higher_is_better: bool = False,
        write: Callable[[Path, Any], None] | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.monitor = monitor
        self.higher_is_better = higher_is_better
        self._write = write or write_network
        self.value: float | None = None
        self.epoch = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare this epoch's value with the best and keep the network if it is better."""
        value = float((logs or {}).get(self.monitor, math.nan))
        if math.isfinite(value) and (self.value is None or self._gain(value) > 0):
            self._write(self.path, self.model)
            self.value, self.epoch = value, epoch + 1

    def _gain(self, value: float) -> float:
        assert self.value is not None
        return value - self.value if self.higher_is_better else self.value - value


def write_network(path: str | Path, model: Any) -> None:
    """Write a network, without its optimizer, as a ``.keras`` file, whole or not at all.

    Raises InputError if the file cannot be written.
    """
    with whole_file(path) as temporary:
        model.save(temporary, include_optimizer=False)
