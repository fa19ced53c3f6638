"""The job of `ds3d tune`: a search for better settings, in one process or with a chief and workers."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.lock import only_process
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, new_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import TuneOptions
from ds3d_tf.options.learn import DEFAULT_TRIALS
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


@takes_options(TuneOptions)
def tune(
    setup: Setup,
    space: str | Path,
    out: str | Path,
    options: TuneOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Tuned | None:
    """Search for better settings of the training; a search that is there already is resumed (docs/tuning.md).

    With KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT in the environment this process is the
    chief or a worker of a search in several processes. A worker returns None.

    Args:
        setup: the base of all trials.
        space: a search space's name or YAML file.
        out: folder of the search.
        options: see :class:`~ds3d_tf.options.TuneOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier search.
        progress: if it is given, bars on stderr show the training in this process.

    Raises InputError for a search that cannot be, another search in ``out``, or an output that cannot be written.
    """
    out = Path(out)
    dimensions = load_space(space, setup)
    role = _role(options.workers)
    check_objective(options.objective, dimensions)
    if setup.mask.learn:
        raise InputError(f"{setup.name}: mask.learn is true; a search trains localization networks only")
    trials = options.trials
    if trials is None and options.method != "hyperband":
        trials = DEFAULT_TRIALS
    described = {one.field: one.described() for one in dimensions}
    length = options.epochs or setup.learning.epochs
    if options.frames is not None and "training_set.training_count" in described:
        raise InputError(
            f"{argument('frames')}: the search space has training_set.training_count; leave one of them out"
        )
    written = setup.model_dump(mode="json")
    plan = SearchPlan(
        described, options.method, options.objective, trials, length, options.seed, written, options.frames
    )
    plan.trial_setup(setup)
    if role == "worker":
        if overwrite:
            raise InputError(f"{argument('overwrite')} is for the chief, not for its workers")
        _check_same(wait_for_plan(out, search_run.SECONDS_TO_WAIT), plan, out)
        work(out)
        return None
    with only_process(out.parent / f".{out.name}.lock", str(out)):
        _begin(out, plan, setup, overwrite)
        try:
            if role == "chief" or options.workers:
                from ds3d_tf.training.search.local_workers import run_chief

                run_chief(out, plan, options.workers)
            else:
                _search_here(out, plan, progress is not no_progress)
        except KeyboardInterrupt:
            console.messages().print("stopped; run the same command again to resume the search", soft_wrap=True)
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
        console.messages().print(f"resuming after {before} trials", soft_wrap=True)
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
        raise InputError(
            f"{out} holds another search ({'; '.join(changed[:4])}); choose another name or {argument('overwrite')}"
        )
    if stored.trials is not None and (plan.trials or math.inf) < stored.trials:
        raise InputError(
            f"{argument('trials')} {plan.trials}: the search in {out} has {stored.trials}; it can only get longer"
        )


def _role(workers: int) -> str:
    """Return "alone", "chief" or "worker"; raises InputError for an environment that is neither."""
    given = [name for name in VARIABLES if os.environ.get(name)]
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
        raise InputError(
            f"{argument('workers')} starts its own chief; unset KERASTUNER_ORACLE_IP or omit {argument('workers')}"
        )
    return "chief" if "chief" in os.environ["KERASTUNER_TUNER_ID"] else "worker"
