"""keras-tuner's oracles, which choose the trials of a search, made robust against killed processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.oracles import HyperbandOracle, RandomSearchOracle

from ds3d_tf.common.errors import argument
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.optional import require
from ds3d_tf.common.texts import load_json
from ds3d_tf.setup.search_space import Dimension

METHODS = ("random", "bayesian", "hyperband")
ENDED = ("COMPLETED", "FAILED")
# Failed trials are results: however many there are, they must not end the search.
NEVER = 10**9


def build_oracle(
    method: str, space: Sequence[Dimension], objective: str, trials: int | None, epochs: int, seed: int
) -> Any:
    """Return the oracle of a search that survives a kill at any moment.

    Args:
        method: "random", "bayesian" or "hyperband".
        space: where to look.
        objective: metric to maximize ("matched_jaccard") or minimize ("val_loss").
        trials: maximum number of trials; None: as many as Hyperband's schedule has.
        epochs: epochs of a full trial.
        seed: random seed of the choices.

    Raises InputError if the method needs a package that is not installed.
    """
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(objective, "min" if objective == "val_loss" else "max"),
        "hyperparameters": hyperparameters(space),
        # keras-tuner takes 0 for no seed.
        "seed": seed + 1,
        "max_consecutive_failed_trials": NEVER,
    }
    if method == "hyperband":
        oracle = _safe(HyperbandOracle)(max_epochs=epochs, **options)
        oracle.max_trials = trials
    elif method == "bayesian":
        oracle = _safe(_bayesian())(max_trials=trials, **options)
    else:
        oracle = _safe(RandomSearchOracle)(max_trials=trials, **options)
    oracle.verbose = 0
    return oracle


def hyperparameters(space: Sequence[Dimension]) -> Any:
    """Return keras-tuner's description of a space; a choice is the number of the value in its list."""
    described = keras_tuner.HyperParameters()
    for one in space:
        sampling = "log" if one.log else "linear"
        if one.kind == "choice":
            # Indices survive the transfer between processes unchanged, and can stand for values of any type.
            described.Choice(one.field, list(range(len(one.values))))
        elif one.kind == "int":
            step = None if one.step is None else int(one.step)
            described.Int(one.field, int(one.low), int(one.high), step=step, sampling=sampling)
        else:
            described.Float(one.field, one.low, one.high, step=one.step, sampling=sampling)
    return described


def chosen_values(space: Sequence[Dimension], values: dict[str, Any]) -> dict[str, Any]:
    """Return ``section.field`` → value of a trial from the oracle's values."""
    return {
        one.field: one.values[int(values[one.field])] if one.kind == "choice" else one.number(values[one.field])
        for one in space
    }


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON, whole or not at all; raises InputError if it cannot be written."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def _bayesian() -> type[Any]:
    require(f"{argument('method')} bayesian", "tune", "sklearn")
    from keras_tuner.oracles import BayesianOptimizationOracle

    class WithoutRepeats(BayesianOptimizationOracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            proposed = super().populate_space(trial_id)
            # In a small space the best guess may be a point that was tried already.
            if proposed["values"] is not None and self._duplicate(proposed["values"]):
                return self._random_populate_space()
            return proposed

    return WithoutRepeats


def _safe(oracle: type[Any]) -> type[Any]:
    class Safe(oracle):  # type: ignore[misc, valid-type]
        """Writes its files whole, and makes search and trials consistent again when it reads them."""

        def save(self) -> None:
            write_json(self._get_oracle_fname(), self.get_state())

        def _save_trial(self, trial: Any) -> None:
            write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

        def reload(self) -> None:
            known = set(load_json(self._get_oracle_fname())["start_order"])
            for folder in Path(self._project_dir).glob("trial_*"):
                # The process was killed after it made the trial and before it recorded it: it will be made again.
                if folder.name.removeprefix("trial_") not in known:
                    shutil.rmtree(folder)
            super().reload()
            ended = [name for name in self.start_order if self.trials[name].status in ENDED]
            self.end_order += [name for name in ended if name not in self.end_order]
            # The queue is read from its end, so it is reversed: the oldest unfinished trial is retried first.
            self._retry_queue = [name for name in reversed(self.start_order) if name not in ended]

        @keras_tuner.synchronized
        def end_trial(self, trial: Any) -> None:
            # The transfer between processes rounds numbers; the stored ones are those that were tried.
            trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
            super().end_trial(trial)

    return Safe
