"""Tables of molecules in any of the formats that we read, as Molecules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.postprocessing.molecules.binary import (
    parquet_names,
    picasso_names,
    read_parquet,
    read_picasso,
    read_smlm,
    smlm_names,
)
from ds3d_tf.postprocessing.molecules.columns import FRAME, POSITION, Column, X, Y, Z, recognize
from ds3d_tf.postprocessing.molecules.molecules import Molecules, check_pixel
from ds3d_tf.postprocessing.molecules.text import RawTable, header_of_csv, read_csv

_READERS: dict[str, Callable[[Path, Sequence[str] | None], RawTable]] = {
    ".csv": read_csv,
    ".txt": read_csv,
    ".parquet": read_parquet,
    ".hdf5": read_picasso,
    ".h5": read_picasso,
    ".smlm": read_smlm,
}
_NAMES: dict[str, Callable[[Path], list[str]]] = {
    ".csv": lambda path: header_of_csv(path)[0],
    ".txt": lambda path: header_of_csv(path)[0],
    ".parquet": parquet_names,
    ".hdf5": picasso_names,
    ".h5": picasso_names,
    ".smlm": smlm_names,
}
_FARTHEST_NM = 1e8  # ten centimetres: no stage goes farther
_LAST_FRAME = 1e8


def read_molecules(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    camera_pixel_nm: float | None = None,
    allow_empty: bool = False,
    drop_incomplete: bool = False,
) -> Molecules:
    """Return the molecules of a table: CSV (ours, ThunderSTORM, ZOLA-3D, SMAP, DECODE), Parquet, Picasso, SMLM 0.2.

    Args:
        path: file; its ending says the format.
        columns: our names of the columns to read, those of them that the file has; None: all.
        camera_pixel_nm: camera pixel, nm, for tables that do not say it.
        allow_empty: whether a table without rows will do.
        drop_incomplete: whether to leave out rows without a position instead of refusing the table.

    Raises InputError for a file that cannot be read, lacks frames or positions, mixes units, has no rows, has rows
    without a position, or states an impossible camera pixel.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise InputError(f"{path}: a table's name ends in {', '.join(_READERS)}; got {suffix or 'no ending'}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    known = _recognized(path, _NAMES[suffix](path))
    wanted = None
    if columns is not None:
        kept = {*columns, FRAME, *POSITION}
        wanted = [name for name, column in known.items() if column.name in kept]
    raw = _READERS[suffix](path, wanted)
    known = {name: column for name, column in known.items() if name in raw.columns}
    _check_needed(path, known)
    pixel_nm = _pixel_nm(path, raw.facts, camera_pixel_nm)
    table = pd.DataFrame(
        {column.name: _in_our_units(path, column, raw, name, pixel_nm) for name, column in known.items()}
    )
    table = _checked_rows(path, table, allow_empty, drop_incomplete)
    incomplete = len(raw.columns[next(iter(known))]) - len(table)
    shape = raw.facts.get("frame_shape")
    return Molecules(
        table,
        str(path),
        pixel_nm,
        None if shape is None else (int(shape[0]), int(shape[1])),
        raw.facts.get("frame_count"),
        tuple(raw.facts.get("history", ())),
        incomplete,
    )


def _recognized(path: Path, names: list[str]) -> dict[str, Column]:
    """Return name in the file → our column; of several that mean the same, the one that says its unit, or the first."""
    found: dict[str, Column] = {}
    taken: dict[str, str] = {}
    for name in names:
        column = recognize(name)
        other = taken.get(column.name)
        if other is not None:
            if not (column.unit == "nm" and found[other].unit != "nm"):
                continue
            del found[other]
        taken[column.name] = name
        found[name] = column
    units = {column.name: column.unit for column in found.values() if column.name in (X, Y)}
    if len(set(units.values())) > 1:
        raise InputError(f"{path}: mixed units: x is in {units[X] or 'no unit'}, y in {units[Y] or 'no unit'}")
    return found


def _check_needed(path: Path, known: dict[str, Column]) -> None:
    ours = [column.name for column in known.values()]
    missing = [name for name in (FRAME, X, Y) if name not in ours]
    if missing:
        seen = ", ".join(map(str, known)) or "none"
        raise InputError(f"{path}: no column {missing[0]!r} with numbers; the table's columns are {seen}")


def _pixel_nm(path: Path, facts: dict[str, Any], given_nm: float | None) -> float | None:
    if given_nm is not None:
        return check_pixel(given_nm, argument("camera_pixel_nm"))
    said = facts.get("pixel_nm")
    if said is None:
        return None
    try:
        return check_pixel(float(said), str(path))
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: a camera pixel of {said!r}; expected a number, nm") from error


def _in_our_units(path: Path, column: Column, raw: RawTable, name: str, pixel_nm: float | None) -> np.ndarray:
    """Return the numbers of a column in nm, or as they are if it is not a length; frames count from 1."""
    values = np.asarray(raw.columns[name], np.float64)
    if column.name == FRAME:
        return values + float(raw.facts.get("frame_offset", 0))
    if not column.is_length:
        return values
    unit = column.unit or ("nm" if column.name.startswith((Z[0], "uncertainty_z")) else raw.facts.get("unit", "nm"))
    column = Column(column.name, str(unit).lower())
    if column.in_pixels:
        if pixel_nm is None:
            raise InputError(
                f"{path}: column {name!r} is in camera pixels, and the table does not say how large they are; "
                f"give it with {argument('camera_pixel_nm')}"
            )
        origin = float(raw.facts.get("pixel_origin", 0)) if column.name in POSITION else 0.0
        return (values + origin) * pixel_nm
    if column.nm_per_unit is None:
        raise InputError(f"{path}: column {name!r}: unknown unit; expected nm, µm or px")
    # DECODE keeps its origin, the centre of the first pixel, when it writes nm.
    shift_nm = 0.0
    if column.name in (X, Y) and "pixel_origin" in raw.facts and pixel_nm is not None:
        shift_nm = float(raw.facts["pixel_origin"]) * pixel_nm
    return values * column.nm_per_unit + shift_nm


def _checked_rows(path: Path, table: pd.DataFrame, allow_empty: bool, drop_incomplete: bool) -> pd.DataFrame:
    needed = [name for name in (FRAME, *POSITION) if name in table]
    finite = np.ones(len(table), bool)
    for name in needed:
        finite &= np.isfinite(table[name].to_numpy())
    if not finite.all():
        if not drop_incomplete:
            row = int(np.flatnonzero(~finite)[0])
            name = next(one for one in needed if not np.isfinite(table[one].iloc[row]))
            raise InputError(
                f"{path}: molecule {row + 1} has no number in column {name!r}, as {np.sum(~finite)} in all; "
                "'ds3d filter --drop-incomplete' removes them"
            )
        table = table[finite].reset_index(drop=True)
    for name in needed[1:]:
        far = np.flatnonzero(np.abs(table[name].to_numpy()) > _FARTHEST_NM)
        if len(far):
            raise InputError(
                f"{path}: molecule {far[0] + 1} has {table[name].iloc[far[0]]:g} in column {name!r}; "
                f"expected less than {_FARTHEST_NM:g} nm; is the unit right?"
            )
    frame = table[FRAME].to_numpy()
    bad = np.flatnonzero((frame % 1 != 0) | (frame < 0) | (frame > _LAST_FRAME))
    if len(bad):
        raise InputError(
            f"{path}: molecule {bad[0] + 1} is in frame {frame[bad[0]]:g}; "
            f"expected a whole number up to {_LAST_FRAME:g}"
        )
    if len(frame) and frame.min() == 0:
        frame = frame + 1  # a program that counts frames from 0
    if not len(table) and not allow_empty:
        raise InputError(f"{path}: holds no molecules")
    return table.assign(**{FRAME: frame.astype(np.int64)})
