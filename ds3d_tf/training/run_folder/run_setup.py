"""The setup of a training run from what the command line says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup import Setup, load_setup


def train_setup(
    setup: str | None,
    overrides: Sequence[str],
    out: Path,
    *,
    resume: bool = False,
    start: Path | None = None,
    freeze: Sequence[str] = (),
    fresh: Sequence[str] = (),
) -> Setup | None:
    """Return the setup of a run, or None if it is resumed and nothing else is said.

    Args:
        setup: preset or YAML file; None: that of the run that is resumed or started from.
        overrides: ``section.field=value`` changes.
        out: run folder.
        resume: whether the run in ``out`` goes on.
        start: folder of the run or imported model to start from.
        freeze: names or patterns of layers that do not learn.
        fresh: names or patterns of layers that begin anew in spite of ``start``.

    Raises InputError for a wrong or missing setup.
    """
    if resume and not (setup or overrides or start or freeze or fresh):
        return None
    if start is not None and not (start.expanduser() / "setup.yaml").is_file():
        raise InputError(
            f"--from {start}: no folder of a run or an imported model (no setup.yaml in it); "
            "weights of DeepSTORM3D are imported with tools/import_weights.py first"
        )
    if setup is None and not resume and start is None:
        raise InputError("--setup is missing; only runs that are resumed or start from another one have a setup")
    default = out / "setup.yaml" if resume else (start or Path()).expanduser() / "setup.yaml"
    chosen = load_setup(setup or default, overrides)
    changes: dict[str, Any] = {}
    if start is not None:
        # Where that run itself had started is its own affair.
        same = {"resuming.fresh_layers": (), "resuming.frozen_layers": (), "resuming.resume": False}
        changes = {"resuming.checkpoint": str(start), **({} if setup else same)}
    if fresh:
        changes["resuming.fresh_layers"] = tuple(fresh)
    if freeze:
        changes["resuming.frozen_layers"] = tuple(freeze)
    return chosen.replace(changes) if changes else chosen
