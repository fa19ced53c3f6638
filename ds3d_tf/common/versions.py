"""Folders of numbered versions, as servers of models want them: ``NAME/1``, ``NAME/2`` …"""

from __future__ import annotations

from pathlib import Path


def highest_version(folder: str | Path, holding: str) -> Path | None:
    """Return the subfolder of the highest number that holds a file called ``holding``, or None."""
    folder = Path(folder)
    versions = [path for path in folder.glob("[0-9]*") if path.name.isdigit() and (path / holding).is_file()]
    return max(versions, key=lambda path: int(path.name), default=None)


def next_version(folder: str | Path) -> Path:
    """Return the subfolder for a new version: one more than the highest number there is, 1 without any."""
    folder = Path(folder)
    numbers = [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()]
    return folder / str(max(numbers, default=0) + 1)
