"""The job of tools/tune.py: a search for better settings, in one process or with a chief and workers."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.lock import only_process
from ds3d_tf.common.outputs import check_folder, new_folder
from ds3d_tf.setup import Setup
from ds3d_tf.setup.search_space import load_space
from ds3d_tf.training.search import run as search_run
from ds3d_tf.training.search.plan import (
    SEARCH_FILE,
    SEARCH_FILES,
    SearchPlan,
    check_objective,
    wait_for_plan,
    write_outcome,
)
from ds3d_tf.training.search.run import VARIABLES, Tuned, announce, finish, make_search, work

DEFAULT_TRIALS = 20
METHODS = ("random", "bayesian", "hyperband")


def tune(
    setup: Setup,
    space: str | Path,
    out: str | Path,
    *,
    method: str = "random",
    objective: str = "matched_jaccard",
    trials: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    workers: int = 0,
    overwrite: bool = False,
    show_progress: bool = True,
) -> Tuned | None:
    """Search for better settings; a search that is there already goes on (docs/tuning.md).

    With KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT in the environment this process is the
    chief or a worker of a search in several processes. A worker returns None.

    Args:
        setup: the base ``Setup``.
        space: a search space's name or YAML file.
        out: folder of the search.
        method: "random", "bayesian" or "hyperband".
        objective: "matched_jaccard" or "val_loss".
        trials: at most so many; None: 20, or all that Hyperband asks for.
        epochs: of a trial; None: the setup's. The best setup keeps its own.
        seed: of the choices.
        workers: number of worker processes to start on this machine; 0: train in this process.
        overwrite: whether to replace an earlier search.
        show_progress: whether to show bars on stderr.

    Raises InputError for a search that cannot be, another search in ``out``, or an output that cannot be written.
    """
    out = Path(out)
    dimensions = load_space(space, setup)
    role = _role(workers)
    if method not in METHODS:
        raise InputError(f"--method {method}: expected {', '.join(METHODS)}")
    check_objective(objective, dimensions)
    for option, number in (("--trials", trials), ("--epochs", epochs)):
        if number is not None and number < 1:
            raise InputError(f"{option} {number}: expected 1 or more")
    if setup.mask.learn:
        raise InputError(f"{setup.name}: mask.learn is true; a search trains localization networks only")
    if trials is None and method != "hyperband":
        trials = DEFAULT_TRIALS
    described = {one.field: one.described() for one in dimensions}
    length = epochs or setup.learning.epochs
    plan = SearchPlan(described, method, objective, trials, length, seed, setup.model_dump(mode="json"))
    if role == "worker":
        if overwrite:
            raise InputError("--overwrite is for the chief, not for its workers")
        _check_same(wait_for_plan(out, search_run.SECONDS_TO_WAIT), plan, out)
        work(out)
        return None
    with only_process(out.parent / f".{out.name}.lock", str(out)):
        _begin(out, plan, setup, overwrite)
        try:
            if role == "chief" or workers:
                from ds3d_tf.training.search.local_workers import run_chief

                run_chief(out, plan, workers)
            else:
                _search_here(out, plan, show_progress)
        except KeyboardInterrupt:
            console.messages().print("stopped; the same command goes on with the search", soft_wrap=True)
            raise
        return finish(out, plan)


def _search_here(out: Path, plan: SearchPlan, show_progress: bool) -> None:
    from ds3d_tf.training.search.search import read_outcomes

    def ended(outcome: dict[str, Any]) -> None:
        announce(outcome, plan)
        write_outcome(out, plan, read_outcomes(out))

    search = make_search(out, plan, show_progress, ended)
    before = len(read_outcomes(out))
    if before:
        console.messages().print(f"going on after {before} trials", soft_wrap=True)
    search.search()


def _begin(out: Path, plan: SearchPlan, setup: Setup, overwrite: bool) -> None:
    """Make the folder of a search, or check that the one that is there is the same search."""
    from ds3d_tf.model.files import save_setup_and_mask
    from ds3d_tf.optics.masks import load_mask

    if (out / SEARCH_FILE).is_file() and not overwrite:
        stored = SearchPlan.read(out)
        _check_same(stored, plan, out)
        if stored.trials != plan.trials:
            plan.write(out)
        return
    out = check_folder(out, overwrite, "tune")
    mask_rad = load_mask(setup)
    with new_folder(out, "tune", SEARCH_FILES) as folder:
        save_setup_and_mask(folder, setup, mask_rad)
        plan.write(folder)


def _check_same(stored: SearchPlan, plan: SearchPlan, out: Path) -> None:
    from ds3d_tf.training.callbacks.checkpoint import differences

    old, new = ({**asdict(one), "trials": None} for one in (stored, plan))
    changed = differences(new, old)
    if changed:
        raise InputError(f"{out} holds another search ({'; '.join(changed[:4])}); choose another name or --overwrite")
    if stored.trials is not None and (plan.trials or math.inf) < stored.trials:
        raise InputError(f"--trials {plan.trials}: the search in {out} has {stored.trials}; it can only get longer")


def _role(workers: int) -> str:
    """Return "alone", "chief" or "worker"; raises InputError for an environment that is neither."""
    given = [name for name in VARIABLES if os.environ.get(name)]
    if workers < 0:
        raise InputError(f"--workers {workers}: expected 1 or more, or 0 to train in this process")
    if "KERASTUNER_ORACLE_IP" not in given and "KERASTUNER_ORACLE_PORT" not in given:
        return "alone"
    missing = [name for name in VARIABLES if name not in given]
    if missing:
        raise InputError(
            f"{missing[0]} is not set; a search in several processes needs {', '.join(VARIABLES)} (docs/tuning.md)"
        )
    if not os.environ["KERASTUNER_ORACLE_PORT"].isdigit():
        raise InputError(f"KERASTUNER_ORACLE_PORT is {os.environ['KERASTUNER_ORACLE_PORT']!r}; expected a port number")
    if workers:
        raise InputError("--workers starts its own chief; unset KERASTUNER_ORACLE_IP or leave --workers out")
    return "chief" if "chief" in os.environ["KERASTUNER_TUNER_ID"] else "worker"
