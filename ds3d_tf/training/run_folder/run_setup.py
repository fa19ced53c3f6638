"""The setup of a training run from what the command line says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.file_names import SETUP_FILE
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
    """Return the setup of a run, or None if the run is resumed with its own setup.

    Args:
        setup: preset or YAML file; None: that of the run that is resumed or started from.
        overrides: ``section.field=value`` changes.
        out: run folder.
        resume: whether the run in ``out`` is resumed.
        start: folder of the run or imported model to start from.
        freeze: names or patterns of layers that do not learn.
        fresh: names or patterns of layers that are re-initialised instead of loaded from ``start``.

    Raises InputError for a wrong or missing setup.
    """
    if resume and not (setup or overrides or start or freeze or fresh):
        return None
    if start is not None and not (start.expanduser() / SETUP_FILE).is_file():
        raise InputError(
            f"{argument('start')} {start}: not the folder of a run or an imported model (it has no {SETUP_FILE}); "
            "import weights of DeepSTORM3D with `ds3d import-weights` first"
        )
    if setup is None and not resume and start is None:
        raise InputError(
            f"{argument('setup')} is missing; only runs that are resumed or start from another one have a setup already"
        )
    default = out / SETUP_FILE if resume else (start or Path()).expanduser() / SETUP_FILE
    chosen = load_setup(setup or default, overrides)
    changes: dict[str, Any] = {}
    if start is not None:
        # The new run does not inherit what the other one started from, froze or re-initialised.
        same = {"resuming.fresh_layers": (), "resuming.frozen_layers": (), "resuming.resume": False}
        changes = {"resuming.checkpoint": str(start), **({} if setup else same)}
    if fresh:
        changes["resuming.fresh_layers"] = tuple(fresh)
    if freeze:
        changes["resuming.frozen_layers"] = tuple(freeze)
    return chosen.replace(changes) if changes else chosen
