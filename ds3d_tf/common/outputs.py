"""What may be replaced with ``--overwrite``: earlier outputs of the same kind, and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import refuse_existing

MODEL_FILES = frozenset({"model.keras", "setup.yaml", "mask.npy", "saved_model", "card.md"})
RUN_FILES = MODEL_FILES | {
    "best_jaccard.keras",
    "checkpoint.npz",
    "curves.png",
    "evaluation",
    "history.csv",
    "logs",
    "stretches.json",
}


def writable_folder(out: str | Path, overwrite: bool, own: Collection[str], kind: str) -> Path:
    """Return ``out`` as a Path if a folder of this kind may be written there.

    Raises InputError if it exists and ``overwrite`` is false, if it is a file, or if it holds anything whose name is
    not in ``own``.
    """
    out = refuse_existing(out, overwrite)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, not a {kind}; choose another name")
    strangers = sorted(path.name for path in out.iterdir() if path.name not in own) if out.is_dir() else []
    strangers = [name for name in strangers if not name.startswith(".partial-")]
    if strangers:
        raise InputError(f"{out} exists and is no {kind} (it holds {strangers[0]}); choose another name")
    return out
