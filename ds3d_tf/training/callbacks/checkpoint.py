"""Checkpoints of a run: all that the next step depends on, in one file, so that a killed run resumes exactly."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ds3d_tf.common.arrays import read_npz
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.texts import checked_fields, parse_json, shortened

FACTS = "facts"
SECONDS_BETWEEN_CHECKPOINTS = 60.0


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


def checkpoint_seconds() -> float:
    """Return the minimum time between two checkpoints: ``$DS3D_SECONDS_BETWEEN_CHECKPOINTS``, or 60 seconds."""
    return float(os.environ.get("DS3D_SECONDS_BETWEEN_CHECKPOINTS", SECONDS_BETWEEN_CHECKPOINTS))


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file.

    Raises InputError if there is none or it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no checkpoint to resume from; train without {argument('resume')}")
    mend = f"train again with {argument('overwrite')}"
    stored = read_npz(path, mend)
    names = [f"variable_{index}" for index in range(len(stored) - 1)]
    missing = next((name for name in (FACTS, *names) if name not in stored), None)
    if missing is not None:
        raise InputError(f"{path}: damaged: {missing} is missing; {mend}")
    facts = parse_json(str(stored[FACTS]), str(path))
    facts = checked_fields(facts, {"epoch": int, "step": int, "settings": dict, "callbacks": list}, str(path), mend)
    if facts["epoch"] < 0 or facts["step"] < 0 or not all(isinstance(state, dict) for state in facts["callbacks"]):
        raise InputError(f"{path}: damaged: not the state of a run; {mend}")
    return Checkpoint(facts.pop("epoch"), facts.pop("step"), facts, [stored[name] for name in names])


class Checkpointer(keras.callbacks.Callback):
    """Writes checkpoints regularly, and restores the state of the callbacks before it in the chain.

    It must come last in the chain: a checkpoint at an epoch's end includes what the others did at that epoch's end.

    Args:
        path: checkpoint file.
        settings: the setup that the run was started with, for comparison.
        others: the callbacks whose state belongs to the run.
        start: checkpoint that the run is resumed from.
        every_seconds: minimum time between two checkpoints within an epoch.
    """

    def __init__(
        self,
        path: str | Path,
        settings: dict[str, Any],
        others: Sequence[keras.callbacks.Callback],
        start: Checkpoint | None = None,
        every_seconds: float = SECONDS_BETWEEN_CHECKPOINTS,
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
        """Restore a compiled network, its optimizer and, when the next epoch begins, its metrics.

        Raises InputError if the checkpoint is of another network.
        """
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        values, metrics = start.variables[: len(variables)], start.variables[len(variables) :]
        if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
            raise InputError(f"{self.path}: checkpoint of another network; train again with {argument('overwrite')}")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self._metrics = metrics if start.step else None

    def restore_callbacks(self) -> None:
        """Restore the callbacks as they were at the checkpoint, or at the end of the last call of fit."""
        if self._states is not None:
            kinds = [_REMEMBERED[type(callback).__name__] for callback in self.others]
            if len(kinds) != len(self._states) or any(
                not set(state) <= set(kind) for kind, state in zip(kinds, self._states, strict=True)
            ):
                raise InputError(
                    f"{self.path}: of a run with other callbacks; train again with {argument('overwrite')}"
                )
            for callback, state in zip(self.others, self._states, strict=True):
                _set_state(callback, state, self.path)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the callbacks: Keras resets them in every call of fit."""
        self.restore_callbacks()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restore the running means of an epoch that is resumed."""
        if self._metrics is not None:
            for variable, value in zip(self.model.metrics_variables, self._metrics, strict=True):
                variable.assign(value)
            self._metrics = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint if the last one is old; not after the last step, since the epoch's end writes one."""
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

        Raises InputError if it cannot be written; the previous checkpoint is then kept.
        """
        if hasattr(self.model, "jax_state_sync"):
            # During an epoch, JAX keeps the values outside the variables.
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
    changed = []
    for name in sorted({*settings, *other}):
        here, there = settings.get(name), other.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            changed += differences(here, there, f"{where}{name}.")
        elif here != there:
            changed.append(f"{where}{name} was {there} and is {here}")
    return changed


def _variables(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


# What each kind of callback remembers from epoch to epoch.
_REMEMBERED: dict[str, tuple[str, ...]] = {
    "EarlyStopping": ("wait", "best", "stopped_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
    "KeepBest": ("value", "epoch"),
    "HistoryFile": ("rows", "seconds_spent"),
    "ByTheClock": ("spent_s",),
}


def _state(callback: Any) -> dict[str, Any]:
    names = _REMEMBERED.get(type(callback).__name__, ())
    return {name: _plain(getattr(callback, name)) for name in names if hasattr(callback, name)}


def _set_state(callback: Any, state: dict[str, Any], path: Path) -> None:
    for name, value in state.items():
        current = getattr(callback, name, None)
        if isinstance(value, (str, dict, bool)) or isinstance(value, list) != isinstance(current, list):
            raise InputError(f"{path}: damaged: {name} is {shortened(value)}; train again with {argument('overwrite')}")
        if isinstance(current, list):
            # In place: other callbacks refer to the same list.
            current[:] = value
        else:
            setattr(callback, name, value)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, list)) else float(value)
