"""The stretches of a run: when, where and how far it was trained each time that it was started or resumed."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from ds3d_tf.common.files import whole_file

STRETCHES_FILE = "stretches.json"
_ENDINGS = {
    "finished": "all epochs done",
    "early": "stopped early, without improvement",
    "interrupted": "interrupted",
    "not_finite": "ended by a loss that was not finite",
}


def how_it_ended(ended: str, detail: str = "") -> str:
    """Return for people what ``ended`` means, or the ``detail`` that says it better."""
    return detail or _ENDINGS.get(ended, ended)


def read_stretches(folder: str | Path) -> list[dict[str, Any]]:
    """Return the stretches of a run, oldest first.

    Each has ``begun`` (UTC), ``epochs_before`` and ``machine``; one that was not killed has ``ended_at``, ``ended``
    ("finished", "early", "interrupted" or "not_finite") and ``epochs``, too. Empty for a folder without a record.
    """
    try:
        return list(json.loads((Path(folder) / STRETCHES_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


def begin_stretch(folder: str | Path, epochs_before: int, machine: dict[str, Any]) -> None:
    """Note that a run is started or resumed; raises InputError if the record cannot be written.

    Args:
        folder: run folder.
        epochs_before: epochs that had ended.
        machine: from ``describe_machine``, with ``devices``.
    """
    _write(folder, [*read_stretches(folder), {"begun": _now(), "epochs_before": epochs_before, "machine": machine}])


def end_stretch(folder: str | Path, ended: str, epochs: int) -> None:
    """Note how the run ended this time and after how many epochs in all; raises InputError if it cannot be written."""
    *before, last = read_stretches(folder) or [{"begun": _now(), "epochs_before": 0, "machine": {}}]
    _write(folder, [*before, {**last, "ended_at": _now(), "ended": ended, "epochs": epochs}])


def _write(folder: str | Path, stretches: list[dict[str, Any]]) -> None:
    with whole_file(Path(folder) / STRETCHES_FILE) as temporary:
        temporary.write_text(json.dumps(stretches, indent=1) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M")
