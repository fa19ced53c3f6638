"""Search for better settings of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ds3d_tf.common import console


def main(
    setup: console.SetupOption,
    space: Annotated[str, typer.Option("--space", help="A search space (quickstart, full) or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", help="Search folder; a search that is there goes on.")],
    method: Annotated[str, typer.Option("--method", help="random, bayesian or hyperband.")] = "random",
    objective: Annotated[str, typer.Option("--objective", help="matched_jaccard or val_loss.")] = "matched_jaccard",
    trials: Annotated[
        int | None, typer.Option("--trials", help="At most so many; 20, or all that hyperband asks for.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs of a trial, if not the setup's.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the choices.")] = 0,
    workers: Annotated[int, typer.Option("--workers", help="Worker processes to start on this machine.")] = 0,
    overrides: console.Overrides = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Search for better settings of the training.

    The folder receives trials.csv, parallel_coordinates.png and best.yaml, which tools/train.py takes. The same command
    goes on with a search that was stopped. For workers on several machines see docs/tuning.md.
    """
    from ds3d_tf.common.errors import InputError
    from ds3d_tf.jobs.tune import tune
    from ds3d_tf.setup import load_setup

    tuned = tune(
        load_setup(setup, overrides or ()),
        space,
        out,
        method=method,
        objective=objective,
        trials=trials,
        epochs=epochs,
        seed=seed,
        workers=workers,
        overwrite=overwrite,
    )
    if tuned is None:
        return
    console.messages().print(_table(tuned.rows, objective))
    console.messages().print(tuned.summary(), soft_wrap=True)
    if tuned.best is None:
        reason = f": {tuned.rows[0]['reason']}" if tuned.rows else ""
        raise InputError(f"none of {len(tuned.rows)} trials gave a result{reason}")


def _table(rows: list[dict[str, Any]], objective: str) -> Any:
    from rich.table import Table

    fields = [name for name in rows[0] if "." in name] if rows else []
    table = Table("trial", *(name.partition(".")[2] for name in fields), objective, "seconds", "status")
    for row in rows:
        values = [f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in fields]
        outcome = f"{row[objective]:.4g}" if objective in row else "–"
        status = f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]
        table.add_row(str(row["trial"]), *values, outcome, f"{row['seconds']:.0f}", status)
    return table


if __name__ == "__main__":
    console.command(main)
