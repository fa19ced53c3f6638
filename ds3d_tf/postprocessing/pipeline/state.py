"""What a run has done: a file in its folder with a fingerprint of each finished step."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.options import Options

STATE_FILE = "run.json"


class RunState:
    """The finished steps of a run, each with a fingerprint of what it was made from."""

    def __init__(self, folder: Path, identity: dict[str, Any], overwrite: bool) -> None:
        """Begin or resume a run.

        Args:
            folder: the run's.
            identity: facts (JSON) that make two runs the same: recording and model.
            overwrite: begin again if the folder is of another run.

        Raises InputError if the folder is of another run and ``overwrite`` is false.
        """
        self._path = folder / STATE_FILE
        self._identity = json.loads(json.dumps(identity))
        self._done: dict[str, str] = {}
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            other, done = known["identity"], dict(known["done"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        differing = [key for key in self._identity if other.get(key) != self._identity[key]]
        if differing and not overwrite:
            raise InputError(
                f"{folder} holds the run of another {differing[0]} ({other.get(differing[0])}); "
                f"choose another {argument('out')} or add --overwrite"
            )
        if not differing:
            self._done = done

    def is_done(self, step: str, fingerprint: str, files: list[Path]) -> bool:
        """Return whether a step was finished from the same input and options, and its files are there."""
        return self._done.get(step) == fingerprint and all(path.exists() for path in files)

    def finished(self, step: str, fingerprint: str) -> None:
        """Note that a step is finished; raises InputError if the file cannot be written."""
        self._done[step] = fingerprint
        with whole_file(self._path) as temporary:
            text = json.dumps({"identity": self._identity, "done": self._done}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")


def fingerprint(step: str, options: Options | None, made_from: str) -> str:
    """Return a short text that is equal for equal step, options and input only."""
    from ds3d_tf import __version__

    values = {} if options is None else {key: str(value) for key, value in dataclasses.asdict(options).items()}
    text = json.dumps([step, values, made_from, __version__], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files_digest(path: Path) -> str:
    """Return a short text of the names, sizes and times of change of a file, or of all files in a folder."""
    files = [one for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file()]
    digest = hashlib.sha256()
    for one in sorted(files):
        status = one.stat()
        digest.update(f"{one.relative_to(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
