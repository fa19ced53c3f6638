"""Checkpoints of a run: all that the next step depends on, in one file, so that a killed run goes on exactly."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_file

FACTS = "facts"


@dataclass(frozen=True)
class Checkpoint:
    """A run at one moment.

    Attributes:
        epoch: epochs that have ended.
        step: steps done of the next one.
        facts: settings and the state of the callbacks, as JSON holds it.
        variables: values of the network's, optimizer's and metrics' variables, in order, without unit.
    """

    epoch: int
    step: int
    facts: dict[str, Any]
    variables: list[np.ndarray]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file.

    Raises InputError if there is none or it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no checkpoint to resume from; train without --resume")
    try:
        with np.load(path, allow_pickle=False) as stored:
            facts = json.loads(str(stored[FACTS]))
            variables = [stored[f"variable_{index}"] for index in range(len(stored.files) - 1)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: a damaged checkpoint; train again with --overwrite") from error
    return Checkpoint(facts.pop("epoch"), facts.pop("step"), facts, variables)


class Checkpointer(keras.callbacks.Callback):
    """Writes checkpoints now and then, and puts the callbacks before it in the chain back to where they were.

    It must come last in the chain: a checkpoint at an epoch's end holds what the others made of that epoch.

    Args:
        path: checkpoint file.
        settings: what the run was started with, kept for comparison.
        others: the callbacks whose state belongs to the run.
        start: where the run goes on.
        every_seconds: least time between two checkpoints within an epoch.
    """

    def __init__(
        self,
        path: str | Path,
        settings: dict[str, Any],
        others: Sequence[keras.callbacks.Callback],
        start: Checkpoint | None = None,
        every_seconds: float = 60.0,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.settings = settings
        self.others = [callback for callback in others if type(callback).__name__ in _REMEMBERED]
        self.every_seconds = every_seconds
        self._states = [state for state in start.facts["callbacks"] if state] if start else None
        self._metrics: list[np.ndarray] | None = None
        self._epoch, self._first_step = (start.epoch, start.step) if start else (0, 0)
        self._written = time.monotonic()

    def restore_variables(self, model: Any, start: Checkpoint) -> None:
        """Give a compiled network, its optimizer and, as the next epoch begins, its metrics their values.

        Raises InputError if the checkpoint is of another network.
        """
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        values, metrics = start.variables[: len(variables)], start.variables[len(variables) :]
        if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
            raise InputError(f"{self.path}: the checkpoint of another network; train again with --overwrite")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self._metrics = metrics if start.step else None

    def restore_callbacks(self) -> None:
        """Put the callbacks back to where they were at the checkpoint, or at the end of the last call of fit."""
        if self._states is not None:
            for callback, state in zip(self.others, self._states, strict=True):
                _set_state(callback, state)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the callbacks back: Keras lets them begin anew with every call of fit."""
        self.restore_callbacks()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put back the running means of an epoch that goes on."""
        if self._metrics is not None:
            for variable, value in zip(self.model.metrics_variables, self._metrics, strict=True):
                variable.assign(value)
            self._metrics = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint if the last one is old; after the last step the epoch's own is near."""
        last = batch + 1 >= self.params["steps"]
        if not last and time.monotonic() - self._written >= self.every_seconds:
            self.write(self._epoch, self._first_step + batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint."""
        self._epoch, self._first_step = epoch + 1, 0
        self.write(self._epoch, 0)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Keep the callbacks' states for another call of fit in this run."""
        self._states = [_state(callback) for callback in self.others]

    def write(self, epoch: int, step: int) -> None:
        """Write the checkpoint file, whole or not at all.

        Raises InputError if it cannot be written; the one before stays.
        """
        if hasattr(self.model, "jax_state_sync"):
            # JAX's values are not in the variables during an epoch.
            self.model.jax_state_sync()
        facts = {
            "epoch": epoch,
            "step": step,
            "settings": self.settings,
            "callbacks": [_state(callback) for callback in self.others],
        }
        variables = [*_variables(self.model), *self.model.metrics_variables]
        arrays: dict[str, Any] = {f"variable_{i}": np.asarray(value) for i, value in enumerate(variables)}
        arrays[FACTS] = np.array(json.dumps(facts))
        with whole_file(self.path) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **arrays)
        self._written = time.monotonic()


def differences(settings: dict[str, Any], other: dict[str, Any], where: str = "") -> list[str]:
    """Return one phrase for each value that differs between two nested dictionaries of settings."""
    found = []
    for name in sorted({*settings, *other}):
        here, there = settings.get(name), other.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            found += differences(here, there, f"{where}{name}.")
        elif here != there:
            found.append(f"{where}{name} was {there} and is {here}")
    return found


def _variables(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


# What each kind of callback remembers from epoch to epoch.
_REMEMBERED: dict[str, tuple[str, ...]] = {
    "EarlyStopping": ("wait", "best", "stopped_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
    "KeepBest": ("value", "epoch"),
    "HistoryFile": ("rows", "seconds_spent"),
}


def _state(callback: Any) -> dict[str, Any]:
    names = _REMEMBERED.get(type(callback).__name__, ())
    return {name: _plain(getattr(callback, name)) for name in names if hasattr(callback, name)}


def _set_state(callback: Any, state: dict[str, Any]) -> None:
    for name, value in state.items():
        current = getattr(callback, name, None)
        if isinstance(current, list):
            # Others hold the same list.
            current[:] = value
        else:
            setattr(callback, name, value)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, list)) else float(value)
