"""OME-TIFF recordings over several files: which file of a set leads to all of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ds3d_tf.localization.frames.names import natural_order

_NAMED = re.compile(r'FileName="([^"/\\]+)"')
_MASTER = re.compile(r'<(?:\w+:)?BinaryOnly\b[^>]*MetadataFile="([^"/\\]+)"')


def without_followed(files: Sequence[Path]) -> list[tuple[Path, bool]]:
    """Return the files to open, and whether to follow each one's header into the others of its set.

    A set all of whose files are listed is opened once, by the first file that names them all. Of a set that is listed
    only in part, each listed file gives its own planes.
    """
    listed = set(files)
    sets: dict[frozenset[Path], list[Path]] = {}
    members: dict[Path, frozenset[Path]] = {}
    for file in files:
        text = _description(file)
        master = _MASTER.search(text)
        names = {
            file.parent / name for name in _NAMED.findall(_description(file.parent / master[1]) if master else text)
        }
        if len(names) > 1 and file in names:  # those that are missing are said by the one who reads the others
            members[file] = frozenset(name for name in names if name.is_file())
            if not master:
                sets.setdefault(members[file], []).append(file)
    leaders = {min(leading, key=natural_order): whole for whole, leading in sets.items() if whole <= listed}
    followed = {file for leader, whole in leaders.items() for file in whole if file != leader}
    return [(file, file in leaders) for file in files if file not in followed]


def missing_files(description: str, path: Path) -> list[str]:
    """Return the files that the OME header of ``path`` names beside it and that are not there."""
    names = dict.fromkeys(_NAMED.findall(description or ""))
    return [name for name in names if not (path.parent / name).is_file()] if path.name in names else []


def _description(path: Path) -> str:
    """Return the OME description of a TIFF file; an empty text if it has none or cannot be read."""
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff", ".btf", ".tf8"):
        return ""
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            return tiff.ome_metadata or "" if tiff.is_ome else ""
    except Exception:  # whatever is wrong with it is said by the one who reads it
        return ""
