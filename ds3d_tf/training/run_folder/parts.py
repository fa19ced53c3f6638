"""The parts of a run: when, where and how far it was trained each time that it was started or resumed."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.texts import load_json

PARTS_FILE = "parts.json"
# The name that earlier versions gave the same file.
FORMER_PARTS_FILE = "stretches.json"
_ENDINGS = {
    "finished": "all epochs done",
    "early": "stopped early, without improvement",
    "interrupted": "interrupted",
    "not_finite": "ended by a loss that was not finite",
}


def how_it_ended(ended: str, detail: str = "") -> str:
    """Return in words what ``ended`` means, or the ``detail`` if there is one."""
    return detail or _ENDINGS.get(ended, ended)


def read_parts(folder: str | Path) -> list[dict[str, Any]]:
    """Return the parts of a run, oldest first.

    Each has ``begun`` (UTC), ``epochs_before`` and ``machine``. A part that was not killed also has ``ended_at``,
    ``ended`` ("finished", "early", "interrupted" or "not_finite") and ``epochs``. Empty for a folder without a record.
    """
    for name in (PARTS_FILE, FORMER_PARTS_FILE):
        path = Path(folder) / name
        if path.is_file():
            try:
                parts = load_json(path)
            except InputError:
                return []
            return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return []


def begin_part(folder: str | Path, epochs_before: int, machine: dict[str, Any]) -> None:
    """Record that a run is started or resumed; raises InputError if the record cannot be written.

    Args:
        folder: run folder.
        epochs_before: epochs that had ended.
        machine: from ``describe_machine``, with ``devices``.
    """
    _write(folder, [*read_parts(folder), {"begun": _now(), "epochs_before": epochs_before, "machine": machine}])


def end_part(folder: str | Path, ended: str, epochs: int) -> None:
    """Record how this part ended and after how many epochs in all; raises InputError if it cannot be written."""
    *before, last = read_parts(folder) or [{"begun": _now(), "epochs_before": 0, "machine": {}}]
    _write(folder, [*before, {**last, "ended_at": _now(), "ended": ended, "epochs": epochs}])


def _write(folder: str | Path, parts: list[dict[str, Any]]) -> None:
    folder = Path(folder)
    with whole_file(folder / PARTS_FILE) as temporary:
        temporary.write_text(json.dumps(parts, indent=1) + "\n", encoding="utf-8")
    (folder / FORMER_PARTS_FILE).unlink(missing_ok=True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M")
