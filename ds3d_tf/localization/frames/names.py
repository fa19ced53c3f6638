"""The files of a recording: folders and patterns, sorted as programs number them."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from ds3d_tf.common.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff", ".stk", ".lsm", ".btf", ".tf8")
_ENDINGS = re.compile(r"(\.ome)?\.[a-z0-9]{1,5}$", re.IGNORECASE)


def natural_order(path: str | Path) -> tuple[list[list[tuple[int, int, str]]], str]:
    """Return a sorting key that puts ``2.tif`` before ``10.tif``, and a name without a number before numbered ones.

    ``run.tif`` comes before ``run_1.tif``, ``run-1.tif``, ``run (2).tif``, ``run1.tif``, ``run_X2.tif`` and
    ``run@0001.tif``, as recording programs, Fiji and Windows continue it.
    """
    path = Path(path)
    parts = [*path.parent.parts, _ENDINGS.sub("", path.name)]
    return [_pieces(part) for part in parts], str(path)


def files_matching(pattern: str) -> list[Path]:
    """Return the files that a pattern names, in natural order.

    Square brackets are first taken as part of the names (``cell [561nm]/*.tif``), then as a set of characters.
    """
    text = str(Path(pattern).expanduser())
    literal = re.sub(r"\[(?!\[\])", "[[]", text)
    for one in dict.fromkeys((literal, text)):
        files = [Path(name) for name in glob.glob(one) if Path(name).is_file()]
        if files:
            return sorted(files, key=natural_order)
    return []


def tiffs_in(folder: Path) -> list[Path]:
    """Return the TIFF files in a folder, in natural order; raises InputError if there are none."""
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    tiffs = [file for file in files if file.suffix.lower() in TIFF_SUFFIXES]
    if not tiffs:
        raise InputError(f"{folder}: no TIFF files in this folder (names that end in .tif or .tiff){_others(files)}")
    return sorted(tiffs, key=natural_order)


def _others(files: Iterable[Path]) -> str:
    names = sorted((file.name for file in files), key=natural_order)
    if not names:
        return ""
    return f"; it holds {', '.join(names[:3])}{', …' if len(names) > 3 else ''}: name one of these files"


def _pieces(part: str) -> list[tuple[int, int, str]]:
    pieces = re.split(r"(\d+)", part)
    return [(0, int(piece), "") if piece.isdigit() else (1, 0, piece.lower()) for piece in pieces]
