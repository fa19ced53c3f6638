"""The folder of a search: what it was started with, and its outcome as a table, a plot and the best setup."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.texts import load_json
from ds3d_tf.model.files import MASK_FILE, SETUP_FILE
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.setup.search_space import Dimension, changed_setup, read_space
from ds3d_tf.training.run_folder.files import RUN_FILES

SEARCH_FILE = "search.json"
TABLE_FILE = "trials.csv"
PLOT_FILE = "parallel_coordinates.png"
BEST_FILE = "best.yaml"
TRIALS_FOLDER = "trials"
# Tells workers that come late that no chief will answer.
OVER_FILE = f"{TRIALS_FOLDER}/over.json"
OBJECTIVES = {"matched_jaccard": "matched Jaccard index", "val_loss": "validation loss"}
SEARCH_FILES = (
    SETUP_FILE,
    MASK_FILE,
    SEARCH_FILE,
    TABLE_FILE,
    PLOT_FILE,
    BEST_FILE,
    "logs/worker_*.log",
    "trials/*.json",
    "trials/trial_*/*.json",
    "trials/trial_*/traceback.txt",
    *(f"trials/trial_*/run/{name}" for name in RUN_FILES),
)
# Losses of two networks can be compared only if their setups differ in no other section.
_SAME_LOSS = ("learning", "training_set")
METRICS = (
    "matched_jaccard",
    "val_loss",
    "val_jaccard",
    "rmse_lateral_nm",
    "rmse_axial_nm",
    "epoch",
)


@dataclass(frozen=True)
class SearchPlan:
    """What a search is: the values of the command line that belong together."""

    space: dict[str, dict[str, Any]]
    method: str
    objective: str
    trials: int | None
    epochs: int
    seed: int
    setup: dict[str, Any]
    frames: int | None = None

    def write(self, folder: Path) -> None:
        """Write the plan; raises InputError if it cannot be written."""
        with whole_file(folder / SEARCH_FILE) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> SearchPlan:
        """Read the plan of a search's folder; raises InputError if it is missing or damaged."""
        try:
            return cls(**load_json(folder / SEARCH_FILE))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{folder / SEARCH_FILE}: missing or damaged; search again with {argument('overwrite')}"
            ) from error

    def trial_setup(self, base: Setup) -> Setup:
        """Return what trials start from: the base with the search's own epochs and training frames."""
        changes: dict[str, Any] = {"learning.epochs": self.epochs}
        if self.frames is not None:
            changes["training_set.training_count"] = self.frames
        return base.replace(changes)

    def dimensions(self, base: Setup) -> tuple[Dimension, ...]:
        """Return the dimensions of the search space."""
        return read_space(self.space, base)


def check_objective(objective: str, space: Sequence[Dimension]) -> None:
    """Raise InputError for an objective that cannot compare the networks of a search space."""
    if objective not in OBJECTIVES:
        raise InputError(f"{argument('objective')} {objective}: expected {' or '.join(OBJECTIVES)}")
    if objective == "val_loss":
        for one in space:
            if one.field == "learning.scaling_factor" or one.field.partition(".")[0] not in _SAME_LOSS:
                raise InputError(
                    f"{argument('objective')} val_loss: networks that differ in {one.field} have losses that cannot be "
                    f"compared; use {argument('objective')} matched_jaccard or remove the field from the search space"
                )


def search_setup(folder: Path) -> Setup:
    """Return the base setup of a search's folder, whose mask lies beside it."""
    return load_setup(folder / SETUP_FILE)


def best_outcome(outcomes: Sequence[Mapping[str, Any]], objective: str) -> Mapping[str, Any] | None:
    """Return the completed trial with the best objective, or None; the earlier of two equal ones.

    A trial that localizes no emitter is not the best of anything.
    """
    completed = [one for one in outcomes if one["status"] == "completed" and objective in one["metrics"]]
    if objective == "matched_jaccard":
        completed = [one for one in completed if one["metrics"][objective] > 0]
    sign = 1 if objective == "val_loss" else -1
    return min(completed, key=lambda one: sign * one["metrics"][objective], default=None)


def training_set_note(base: Setup) -> str:
    """Return what to change for the final training where a search had few frames; empty if it had enough."""
    usual = type(base.training_set)()
    count = base.training_set.training_count
    if base.training_set.folder is not None or count >= usual.training_count:
        return ""
    return (
        f"The search trained on {count} frames an epoch; for the final training add "
        f"--set training_set.training_count={usual.training_count} "
        f"--set training_set.validation_count={usual.validation_count}"
    )


def table_rows(outcomes: Sequence[Mapping[str, Any]], space: Sequence[Dimension]) -> list[dict[str, Any]]:
    """Return one row a trial: number, status, what was changed, metrics, seconds and, if it failed, the reason."""
    rows = []
    for one in outcomes:
        row: dict[str, Any] = {"trial": int(one["trial"]), "status": one["status"]}
        row |= {dimension.field: one["values"].get(dimension.field) for dimension in space}
        row |= {name: one["metrics"][name] for name in METRICS if name in one.get("metrics", {})}
        row |= {"seconds": one["seconds"]}
        if one.get("continues") is not None:
            row["continues"] = int(one["continues"])
        rows.append({**row, "reason": one.get("reason", "")})
    return rows


def write_outcome(folder: Path, plan: SearchPlan, outcomes: Sequence[Mapping[str, Any]], plot: bool = False) -> None:
    """Write ``trials.csv``, and with a completed trial ``best.yaml`` and, if asked, the plot.

    Raises InputError if a file cannot be written.
    """
    import pandas as pd

    base = search_setup(folder)
    space = plan.dimensions(base)
    rows = table_rows(outcomes, space)
    names = ["trial", "status", *(one.field for one in space), *METRICS, "seconds", "continues", "reason"]
    columns = [name for name in names if any(name in row for row in rows)]
    with whole_file(folder / TABLE_FILE) as temporary:
        pd.DataFrame(rows, columns=columns).to_csv(temporary, index=False, float_format="%.6g")
    best = best_outcome(outcomes, plan.objective)
    if best is not None:
        setup = changed_setup(base, best["values"]).replace({"name": f"{base.name}, tuned"})
        with whole_file(folder / BEST_FILE) as temporary:
            value = f"{OBJECTIVES[plan.objective]} {best['metrics'][plan.objective]:.4g}"
            head = f"# Trial {int(best['trial'])} of a {plan.method} search: {value}.\n"
            small = training_set_note(base)
            head += f"# {small}\n" if small else ""
            temporary.write_text(head + setup.to_yaml(), encoding="utf-8")
    if plot and best is not None:
        from ds3d_tf.training.search.parallel_coordinates import plot_parallel_coordinates

        label = OBJECTIVES[plan.objective]
        plot_parallel_coordinates(folder / PLOT_FILE, rows, space, plan.objective, label)


def wait_for_plan(folder: Path, seconds: float) -> SearchPlan:
    """Return the plan that the chief of a search writes; raises InputError if there is none in time."""
    end = time.monotonic() + seconds
    while not (folder / SEARCH_FILE).is_file():
        if time.monotonic() > end:
            raise InputError(f"{folder}: no chief has started a search here; start one with KERASTUNER_TUNER_ID=chief")
        time.sleep(0.5)
    return SearchPlan.read(folder)
