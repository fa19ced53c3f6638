"""The steps of a search: make it, work on its trials, announce each result, write the outcome."""

from __future__ import annotations

import functools
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import argument
from ds3d_tf.common.file_names import BEST_JACCARD_FILE, CHECKPOINT_FILE
from ds3d_tf.training.search.plan import (
    OBJECTIVES,
    OVER_FILE,
    TRIALS_FOLDER,
    SearchPlan,
    best_outcome,
    search_setup,
    table_rows,
    training_set_note,
    write_outcome,
)

SECONDS_TO_WAIT = 600.0
VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")

MAX_COLUMNS = 79


@dataclass(frozen=True)
class Tuned:
    """A search's folder and its trials, as in ``trials.csv``; ``best`` is the row of the best, or None.

    ``note`` says what to change before the final training.
    """

    folder: Path
    objective: str
    rows: list[dict[str, Any]]
    best: dict[str, Any] | None
    note: str = ""

    def summary(self) -> str:
        """Return a table of the trials and the outcome, as lines of text."""
        table = _table(self.rows, self.objective)
        if self.best is None:
            done = sum(row["status"] == "completed" for row in self.rows)
            why = "no trial has completed"
            if done:
                why = (
                    f"nothing was found: none of the {done} completed trials localizes an emitter; give them more "
                    f"{argument('epochs')} or more frames, or narrow the search around settings that train"
                )
            return f"{table}{why}; search folder: {self.folder}/"
        value = f"{OBJECTIVES[self.objective]} {self.best[self.objective]:.4g}"
        best = f"best: trial {self.best['trial']}, {value}: {self.folder}/best.yaml"
        note = f"\nnote: {self.note}" if self.note else ""
        return f"{table}{best}{note}\nsearch folder: {self.folder}/"


def work(out: Path) -> None:
    """Train the trials that the chief at KERASTUNER_ORACLE_IP hands out, until there are no more."""
    from ds3d_tf.training.search.chief import wait_for_chief

    plan = SearchPlan.read(out)
    address = f"{os.environ[VARIABLES[1]]}:{os.environ[VARIABLES[2]]}"
    # Other workers may have trained all trials before this one was ready.
    if not wait_for_chief(address, SECONDS_TO_WAIT, (out / OVER_FILE).is_file):
        console.messages().print(f"the search in {out}/ is over", soft_wrap=True)
        return
    search = make_search(out, plan, show_progress=False, ended=functools.partial(announce, plan=plan))
    search.search()


def make_search(
    out: Path, plan: SearchPlan, show_progress: bool, ended: Callable[[dict[str, Any]], None] = lambda outcome: None
) -> Any:
    """Return the ``Search`` of a folder, with the state in which it is."""
    from ds3d_tf.training.search.oracles import build_oracle
    from ds3d_tf.training.search.search import Search
    from ds3d_tf.training.search.trial import train_trial

    base = plan.trial_setup(search_setup(out))
    space = plan.dimensions(base)
    oracle = build_oracle(plan.method, space, plan.objective, plan.trials, plan.epochs, plan.seed)
    again = plan.method == "hyperband"
    train = functools.partial(train_trial, base, keep_checkpoint=again, show_progress=show_progress)
    return Search(oracle, space, out, train, ended)


def _table(rows: list[dict[str, Any]], objective: str) -> str:
    """Return one aligned line for each trial below the names of its fields; nothing without trials."""
    if not rows:
        return ""
    fields = [name for name in rows[0] if "." in name]
    lines = [["trial", *(name.partition(".")[2] for name in fields), objective, "seconds", "status"]]
    for row in rows:
        values = [f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in fields]
        outcome = f"{row[objective]:.4g}" if objective in row else "–"
        status = f"{row['status']}: {row['reason']}" if row["reason"] else str(row["status"])
        lines.append([str(row["trial"]), *values, outcome, f"{row['seconds']:.0f}", status])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    if sum(widths) + 2 * (len(widths) - 1) > MAX_COLUMNS:
        return "".join(_as_paragraph(lines[0], line, len(fields)) for line in lines[1:])
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _as_paragraph(names: list[str], line: list[str], fields: int) -> str:
    """Return a trial as lines that fit a terminal: its outcome, and below it what was tried."""
    trial, *values = line[: fields + 1]
    value, seconds, status = line[fields + 1 :]
    tried = ", ".join(f"{name} {text}" for name, text in zip(names[1 : fields + 1], values, strict=True))
    head = f"trial {trial}: {names[fields + 1]} {value}, {seconds} s, {status}"
    return "".join(
        line + "\n"
        for text, indent in ((head, ""), (tried, "  "))
        for line in textwrap.wrap(text, MAX_COLUMNS, initial_indent=indent, subsequent_indent="  ")
    )


def announce(outcome: dict[str, Any], plan: SearchPlan) -> None:
    """Print one line for a trial that has ended."""
    values = ", ".join(f"{field.partition('.')[2]} {value}" for field, value in outcome["values"].items())
    if outcome["status"] == "completed":
        result = f"{OBJECTIVES[plan.objective]} {outcome['metrics'][plan.objective]:.4g}"
    else:
        result = f"failed: {outcome['reason']}"
    line = f"trial {int(outcome['trial'])}  {result}  ({values})  {outcome['seconds']:.0f} s"
    console.messages().print(line, soft_wrap=True)


def finish(out: Path, plan: SearchPlan) -> Tuned:
    """Write table, plot and best setup of a search, delete what only an unfinished search needs, and return it."""
    from ds3d_tf.training.search.oracles import write_json
    from ds3d_tf.training.search.search import RUN_FOLDER, read_outcomes

    outcomes = read_outcomes(out)
    write_outcome(out, plan, outcomes, plot=True)
    for name in (CHECKPOINT_FILE, BEST_JACCARD_FILE):
        for path in (out / TRIALS_FOLDER).glob(f"trial_*/{RUN_FOLDER}/{name}"):
            path.unlink(missing_ok=True)
    rows = table_rows(outcomes, plan.dimensions(search_setup(out)))
    best = best_outcome(outcomes, plan.objective)
    write_json(out / OVER_FILE, {"trials": len(rows)})
    row = None if best is None else next(row for row in rows if row["trial"] == int(best["trial"]))
    return Tuned(out, plan.objective, rows, row, training_set_note(search_setup(out)))
