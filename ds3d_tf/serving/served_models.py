"""The models of a server by name: the highest version of each, updated while the server runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ds3d_tf.common.errors import InputError
from ds3d_tf.serving.errors import NOT_FOUND, RequestError
from ds3d_tf.serving.limits import Turns
from ds3d_tf.serving.served_model import ServedModel


class ServedModels:
    """All models of a server by name; each prediction holds ``turn``, which limits how many run at the same time."""

    def __init__(self, folders: Mapping[str, Path], memory_gb: float, parallel: int) -> None:
        """Load the highest version of each folder; raises InputError if one holds none."""
        self._by_name = {name: _ModelFolder(folder, memory_gb) for name, folder in folders.items()}
        self.turn = Turns(parallel)
        # Large texts become numbers one after the other: each takes many times its own memory meanwhile.
        self.parsing = Turns(2)

    def model(self, name: str, version: int | None = None) -> ServedModel:
        """Return a model (None: its highest version); raises RequestError if it is not served."""
        if name not in self._by_name:
            raise RequestError(NOT_FOUND, f"no model {name!r}; this server has {', '.join(sorted(self._by_name))}")
        return self._by_name[name].version(version)

    def refresh(self) -> list[str]:
        """Load higher versions that have appeared; returns one sentence per version for the log."""
        news = {name: folder.refresh() for name, folder in self._by_name.items()}
        return [f"{name}: {text}" for name, text in news.items() if text]


class _ModelFolder:
    """The model that a server offers under one name: the highest version in its folder."""

    def __init__(self, folder: Path, memory_gb: float) -> None:
        """Load the highest version; raises InputError if the folder holds no version."""
        self._folder, self._memory_gb = folder, memory_gb
        # A version that is still being copied changes between two looks; one that failed is tried again if it changes.
        self._seen: tuple[Path, str] | None = None
        self._failed: tuple[Path, str] | None = None
        self._current = ServedModel(*_highest_version(folder), memory_gb)

    def version(self, number: int | None) -> ServedModel:
        """Return the model, whose version must be ``number`` unless that is None; raises RequestError otherwise."""
        model = self._current
        if number is not None and number != model.version:
            raise RequestError(NOT_FOUND, f"version {number} is not served; version {model.version} is")
        return model

    def refresh(self) -> str | None:
        """Load a higher version if one has appeared; returns a sentence for the log, or None."""
        try:
            folder, version = _highest_version(self._folder)
        except InputError:
            return None
        if version <= self._current.version:
            return None
        look = folder, _stamp(folder)
        whole, self._seen = look == self._seen, look
        if not whole or look == self._failed:
            return None
        try:
            model = ServedModel(folder, version, self._memory_gb)
        except InputError as error:
            self._failed = look
            return f"version {version} cannot be loaded, still using version {self._current.version}: {error}"
        if look[1] != _stamp(folder):  # it changed while it was read
            return None
        self._current = model
        return f"now using version {version}"


def _highest_version(folder: Path) -> tuple[Path, int]:
    from ds3d_tf.localization.localizer import find_saved_model

    found = find_saved_model(folder)
    return found, int(found.name) if found.name.isdigit() else 1


def _stamp(folder: Path) -> str:
    """Return a checksum of the names, sizes and times of change of all files of a version."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*")):
        try:
            status = path.stat()
        except OSError:  # renamed just now
            continue
        digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
