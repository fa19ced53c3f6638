"""keras-tuner's oracles, which choose the trials of a search, made safe against a process that is killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.oracles import HyperbandOracle, RandomSearchOracle

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_file
from ds3d_tf.setup.search_space import Dimension

METHODS = ("random", "bayesian", "hyperband")
ENDED = ("COMPLETED", "FAILED")
# Which trials fail is a finding: their number must not end the search (nor the lock that keras-tuner then keeps).
NEVER = 10**9


def build_oracle(
    method: str, space: Sequence[Dimension], objective: str, trials: int | None, epochs: int, seed: int
) -> Any:
    """Return the oracle of a search that survives a kill at any moment.

    Args:
        method: "random", "bayesian" or "hyperband".
        space: where to look.
        objective: name of the figure that is best when large ("matched_jaccard") or small ("val_loss").
        trials: at most so many; None: as many as Hyperband asks for.
        epochs: of a whole trial.
        seed: of the choices.

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
            # Numbers keep their kind and digits on the way between processes, and stand for values of any kind.
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
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise InputError("--method bayesian needs scikit-learn; pip install 'ds3d-tf[tune]'") from error
    from keras_tuner.oracles import BayesianOptimizationOracle

    class WithoutRepeats(BayesianOptimizationOracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            proposed = super().populate_space(trial_id)
            # In a space of few values the best guess may be one that was tried.
            if proposed["values"] is not None and self._duplicate(proposed["values"]):
                return self._random_populate_space()
            return proposed

    return WithoutRepeats


def _safe(oracle: type[Any]) -> type[Any]:
    class Safe(oracle):  # type: ignore[misc, valid-type]
        """Writes its files whole, and makes one account of the search and its trials when it reads them."""

        def save(self) -> None:
            write_json(self._get_oracle_fname(), self.get_state())

        def _save_trial(self, trial: Any) -> None:
            write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

        def reload(self) -> None:
            known = set(json.loads(Path(self._get_oracle_fname()).read_text(encoding="utf-8"))["start_order"])
            for folder in Path(self._project_dir).glob("trial_*"):
                # Its trial was made, but the process ended before the search knew: it will be made again.
                if folder.name.removeprefix("trial_") not in known:
                    shutil.rmtree(folder)
            super().reload()
            ended = [name for name in self.start_order if self.trials[name].status in ENDED]
            self.end_order += [name for name in ended if name not in self.end_order]
            # Taken from the end, and the oldest first.
            self._retry_queue = [name for name in reversed(self.start_order) if name not in ended]

        @keras_tuner.synchronized
        def end_trial(self, trial: Any) -> None:
            # Between processes numbers lose digits, and would be others than those that were tried.
            trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
            super().end_trial(trial)

    return Safe
