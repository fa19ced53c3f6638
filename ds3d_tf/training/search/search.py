"""A search for better settings: trials chosen by an oracle, in this process or in several."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError, FatalError

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.file_names import CHECKPOINT_FILE
from ds3d_tf.common.texts import checked_fields, load_json
from ds3d_tf.setup.search_space import Dimension
from ds3d_tf.training.search.oracles import chosen_values, write_json
from ds3d_tf.training.search.plan import TRIALS_FOLDER

RESULT_FILE = "result.json"
ATTEMPTS_FILE = "attempts.json"
RUN_FOLDER = "run"
# A trial that killed its process this often, without a new checkpoint, counts as failed.
MAX_ATTEMPTS = 3
SECONDS_BETWEEN_QUESTIONS = 0.5

TrainTrial = Callable[..., dict[str, float]]


class TrialFailed(Exception):
    """A trial cannot be judged; says why in one line."""


class FatalInputError(FatalError, InputError):
    """An InputError that ends the search, not the trial alone."""


class Search(BaseTuner):
    """keras-tuner's loop over trials, each in its folder ``trials/trial_…`` with its outcome in ``result.json``.

    Args:
        oracle: from ``build_oracle``.
        space: its dimensions.
        folder: the search's folder.
        train: called with a folder, the values by ``section.field``, and by name ``previous`` (the folder of the trial
            to continue, or None) and ``epochs`` (or None); returns metrics by name, or raises TrialFailed.
        ended: called with the outcome of each trial that ends here.
    """

    def __init__(
        self,
        oracle: Any,
        space: Sequence[Dimension],
        folder: str | Path,
        train: TrainTrial,
        ended: Callable[[dict[str, Any]], None] = lambda outcome: None,
    ) -> None:
        self.space = tuple(space)
        self.train = train
        self.ended = ended
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(oracle, directory=str(folder), project_name=TRIALS_FOLDER)
        if not self._is_worker() and Path(oracle._get_oracle_fname()).is_file():
            _reload(oracle, folder)

    def search(self, *arguments: Any, **options: Any) -> None:
        """Run trials until the oracle has no more."""
        while True:
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == "STOPPED":
                return
            if trial.status == "IDLE":
                time.sleep(SECONDS_BETWEEN_QUESTIONS)
                continue
            self._try_run_and_update_trial(trial)
            self.on_trial_end(trial)

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        """Train with the values of a trial, write its outcome and return the objective."""
        folder = Path(self.get_trial_dir(trial.trial_id))
        if not (folder / RESULT_FILE).is_file():
            self._run(trial, folder)
        # Otherwise the process was killed after the trial ended, before the oracle was told.
        outcome = _read_outcome(folder)
        if outcome["status"] == "failed":
            raise FailedTrialError(outcome["reason"])
        return {self.oracle.objective.name: outcome["metrics"][self.oracle.objective.name]}

    def _run(self, trial: Any, folder: Path) -> None:
        values = chosen_values(self.space, trial.hyperparameters.values)
        special = trial.hyperparameters.values
        previous = special.get("tuner/trial_id")
        outcome: dict[str, Any] = {"trial": trial.trial_id, "values": values, "epochs": special.get("tuner/epochs")}
        if previous:
            outcome["continues"] = previous
        begin = time.monotonic()
        try:
            self._count_attempt(folder)
            metrics = self.train(
                folder,
                values,
                previous=Path(self.get_trial_dir(previous)) if previous else None,
                epochs=special.get("tuner/epochs"),
            )
            outcome |= {"status": "completed", "metrics": metrics}
        except InputError as error:
            # For example a full disk: every other trial would fail, too.
            raise FatalInputError(error.marked) from error
        except Exception as error:
            reason = str(error) if isinstance(error, TrialFailed) else f"{type(error).__name__}: {error}"
            if not isinstance(error, TrialFailed):
                (folder / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
            outcome |= {"status": "failed", "reason": " ".join(reason.split())[:300]}
        outcome["seconds"] = time.monotonic() - begin
        write_json(folder / RESULT_FILE, outcome)
        self.ended(outcome)

    def save(self) -> None:
        """Write the oracle's state; there is no other."""
        if not self._is_worker():
            self.oracle.save()

    def _count_attempt(self, folder: Path) -> None:
        checkpoint, path = folder / RUN_FOLDER / CHECKPOINT_FILE, folder / ATTEMPTS_FILE
        progress = checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0
        before = load_json(path) if path.is_file() else {"progress": progress, "count": 0}
        count = before["count"] + 1 if before["progress"] == progress else 1
        if count > MAX_ATTEMPTS:
            raise TrialFailed(f"the process ended {MAX_ATTEMPTS} times during this trial; not enough memory?")
        write_json(path, {"progress": progress, "count": count})


def read_outcomes(folder: str | Path) -> list[dict[str, Any]]:
    """Return the outcome of each trial that has ended, in the order of their numbers; see ``Search``."""
    outcomes = []
    for path in sorted((Path(folder) / TRIALS_FOLDER).glob("trial_*"), key=lambda path: int(path.name[6:])):
        with contextlib.suppress(FileNotFoundError):
            outcomes.append(_read_outcome(path))
    return outcomes


def _read_outcome(folder: Path) -> dict[str, Any]:
    outcome = _result(folder / RESULT_FILE)
    # The names that earlier versions wrote.
    for former, name in (("figures", "metrics"), ("goes_on_from", "continues")):
        if former in outcome:
            outcome[name] = outcome.pop(former)
    return outcome


def _result(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(path)
    return checked_fields(load_json(path), {"status": str}, str(path), f"search again with {argument('overwrite')}")


def _reload(oracle: Any, folder: str | Path) -> None:
    try:
        oracle.reload()
    except Exception as error:  # keras_tuner takes what it reads for its own
        raise InputError(
            f"{folder}: the state of the search is damaged; search again with {argument('overwrite')}"
        ) from error
