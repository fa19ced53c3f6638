"""The one home of tables of molecules: columns, units, origin, CSV."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ds3d_tf.common.arrays import first_line
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.text_files import decode_text
from ds3d_tf.common.texts import MAX_DIGITS, shortened
from ds3d_tf.setup.coordinates import table_origin_um

COLUMNS = ("frame", "x [nm]", "y [nm]", "z [nm]", "intensity [au]")
# What a refinement adds, by ThunderSTORM's names where it has one.
REFINED_COLUMNS = (
    "intensity [photon]",
    "offset [photon]",
    "sigma [nm]",
    "uncertainty [nm]",
    "uncertainty_x [nm]",
    "uncertainty_y [nm]",
    "uncertainty_z [nm]",
    "uncertainty_intensity [photon]",
    "log_likelihood_gain",
    "chi2",
)
# What the pixel network adds: those of a refinement that it knows.
MEASURED_COLUMNS = tuple(name for name in REFINED_COLUMNS if name not in ("sigma [nm]", "log_likelihood_gain", "chi2"))


def to_table(frame: Any, xyz_um: Any, confidence: Any, frame_shape: tuple[int, int], setup: Any) -> pd.DataFrame:
    """Return the table of localizations: ThunderSTORM's columns and origin.

    A pixel's centre is at (column + 0.5) and (row + 0.5) pixels, z is counted from the setup's ``z_min_um``.

    Args:
        frame: int ``[N]``, number of the frame, from 1.
        xyz_um: float ``[N, 3]`` (x, y, z), µm, x = y = 0 at the centre of pixel (H // 2, W // 2).
        confidence: float ``[N]``, no unit.
        frame_shape: ``(H, W)``, pixels.
        setup: the ``Setup`` of pixel size and depth range.

    Returns:
        ``frame``, ``x [nm]``, ``y [nm]``, ``z [nm]``, ``intensity [au]``.
    """
    nm = (np.reshape(np.asarray(xyz_um, np.float64), (-1, 3)) + table_origin_um(frame_shape, setup)) * 1000
    columns = [np.asarray(frame, np.int64), *nm.T, np.asarray(confidence, np.float64)]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def from_table(
    table: pd.DataFrame, frame_shape: tuple[int, int], setup: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what :func:`to_table` was given.

    Args:
        table: the five columns.
        frame_shape: ``(H, W)``, pixels.
        setup: the ``Setup`` of pixel size and depth range.

    Returns:
        frame: int64 ``[N]``, from 1.
        xyz_um: float64 ``[N, 3]`` (x, y, z), µm, x = y = 0 at the centre of pixel (H // 2, W // 2).
        confidence: float64 ``[N]``, no unit.
    """
    nm = table[list(COLUMNS[1:4])].to_numpy(np.float64)
    xyz_um = nm / 1000 - table_origin_um(frame_shape, setup)
    return table["frame"].to_numpy(np.int64), xyz_um, table[COLUMNS[4]].to_numpy(np.float64)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all; raises InputError if it cannot be written."""
    with whole_file(path) as temporary:
        temporary.write_text(csv_text(table), encoding="utf-8")


def columns_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of a table that we know, in order: the five, and those of a refinement or a pixel network.

    Further columns count only if all of a kind are there.
    """
    known = set(names)
    further = (some for some in (REFINED_COLUMNS, MEASURED_COLUMNS) if known.issuperset(some))
    return COLUMNS + next(further, ())


def csv_text(table: pd.DataFrame, header: bool = True) -> str:
    """Return the table as CSV text: picometres and a thousandth of the confidence are kept."""
    return table[list(columns_of(table.columns))].to_csv(
        index=False, header=header, float_format="%.3f", lineterminator="\n"
    )


def read_table(path: str | Path) -> pd.DataFrame:
    """Return a table of molecules: the five columns, and those of a refinement or a pixel network (no others').

    In a refined table the confidence is NaN for molecules that the network did not propose.

    Raises:
        InputError: the file is missing or unreadable, lacks a column, or holds something that is no number.
    """
    table = read_columns(path, COLUMNS, further=REFINED_COLUMNS)
    if len(table) and table["frame"].min() < 1:
        raise InputError(f"{path}: column 'frame' has {table['frame'].min()}; frames are counted from 1")
    return table


def read_columns(path: str | Path, columns: tuple[str, ...], *, further: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return the named columns of a CSV file as numbers, ``frame`` as int64 and the others as float64.

    The ``further`` columns are read, too, if the file has all of them; then the last of ``columns`` may be empty. If it
    has those of a pixel network among them, these are read.

    Raises:
        InputError: the file is missing or unreadable, lacks a column, or holds something that is no number.
    """
    try:
        table = pd.read_csv(io.StringIO(decode_text(Path(path).read_bytes(), str(path))), skipinitialspace=True)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except InputError:
        raise
    except Exception as error:  # pandas raises many kinds of errors for what is no table
        raise InputError(f"{path}: not a CSV table ({first_line(error)})") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; expected {', '.join(columns)}")
    refined = bool(further) and set(further).issubset(table.columns)
    may_be_empty = columns[-1] if refined else None
    measured = not refined and further == REFINED_COLUMNS and set(MEASURED_COLUMNS).issubset(table.columns)
    table = table[[*columns, *(further if refined else MEASURED_COLUMNS if measured else ())]]
    for name in table.columns:
        numbers = _numbers(table[name])
        empty = table[name].isna().to_numpy() & (name == may_be_empty)
        bad = np.flatnonzero(~(np.isfinite(numbers) | empty) | ((name == "frame") & (numbers % 1 != 0)))
        if len(bad):
            kind = "whole number" if name == "frame" else "number"
            value = shortened(table[name].iloc[bad[0]])
            raise InputError(f"{path}: row {bad[0] + 2}, column {name!r}: {value} is no {kind}")
        table = table.assign(**{name: numbers.astype(np.int64) if name == "frame" else numbers})
    return table


def _numbers(column: pd.Series) -> np.ndarray:
    """Return a column as float64 ``[N]``, in its unit; NaN for what is no number that float64 holds."""
    try:
        return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    except OverflowError:  # a whole number of hundreds of digits
        short = column.where(column.astype(str).str.len() <= MAX_DIGITS)
        return pd.to_numeric(short, errors="coerce").to_numpy(np.float64)
