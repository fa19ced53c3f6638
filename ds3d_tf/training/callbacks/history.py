"""The history of a run: one row per epoch, in memory and in ``history.csv``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras

from ds3d_tf.common.files import whole_file

COLUMNS = (
    "epoch",
    "loss",
    "val_loss",
    "jaccard",
    "val_jaccard",
    "matched_jaccard",
    "rmse_lateral_nm",
    "rmse_axial_nm",
    "learning_rate",
    "seconds",
    "steps_per_s",
    "data_wait",
)


class HistoryFile(keras.callbacks.Callback):
    """Writes the losses, scores, learning rate and duration of every epoch to a CSV file as it ends.

    Attributes:
        rows: one dictionary an epoch, by column.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []
        self._begin: float | None = None
        self._earlier = 0.0

    @property
    def seconds_spent(self) -> float:
        """Seconds spent on the current epoch; in a resumed run, those before the checkpoint count, too."""
        return self._earlier + (0.0 if self._begin is None else time.perf_counter() - self._begin)

    @seconds_spent.setter
    def seconds_spent(self, seconds: float) -> None:
        """Set the seconds spent so far; the clock starts when the next epoch begins."""
        self._earlier, self._begin = seconds, None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the epoch and rewrite the file."""
        row: dict[str, float] = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = self.seconds_spent
        self.seconds_spent = 0.0
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Write all rows; raises InputError if the file cannot be written."""
        import pandas as pd

        present = {name for row in self.rows for name in row}
        columns = [name for name in COLUMNS if name in present] + sorted(present - set(COLUMNS))
        with whole_file(self.path) as temporary:
            pd.DataFrame(self.rows, columns=columns).to_csv(temporary, index=False, float_format="%.8g")
