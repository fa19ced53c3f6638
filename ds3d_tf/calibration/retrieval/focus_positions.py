"""The focus positions of a bead stack, from a table as people write it: decimal commas, Excel, Windows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.texts import read_text

COLUMN = "nfp_um"
# A stack over more than this, or over less, is in another unit: no objective focuses over it, no stage moves by it.
MAX_SPAN_UM = 60.0
MIN_SPAN_UM = 0.02
_DECIMAL_COMMA = re.compile(r"^[+-]?\d+,\d+$")


@dataclass(frozen=True, eq=False)
class FocusPositions:
    """Focus positions.

    Attributes:
        nfp_um: float64 ``[S]``, µm, in the file's order.
        remarks: how they were read, where that is not plain.
    """

    nfp_um: np.ndarray
    remarks: tuple[str, ...] = ()


def read_focus_positions(path: str | Path) -> FocusPositions:
    """Read focus positions: the column ``nfp_um`` of a table, or its only (else last) column.

    Commas, semicolons or tabs stand between columns; beside semicolons or tabs, or where a line is but one number, a
    comma is a decimal comma.

    Raises InputError if the file cannot be read, or holds something else than finite numbers there.
    """
    lines = [
        (number, line.partition("#")[0].strip())
        for number, line in enumerate(read_text(path, "focus positions").split("\n"), 1)
    ]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise InputError(f"focus positions {path}: the file is empty; expected one position (µm) a slice")
    rows, comma = _columns([line for _, line in lines], str(path))
    header = any(_number(cell, comma) is None for cell in rows[0])
    names = [cell.lower() for cell in rows[0]] if header else []
    column = names.index(COLUMN) if COLUMN in names else -1
    values = []
    for (number, line), row in list(zip(lines, rows, strict=True))[header:]:
        if len(row) != len(rows[0]):
            raise InputError(
                f"focus positions {path}: line {number} has {len(row)} columns, the first line {len(rows[0])}: {line}"
            )
        value = _number(row[column], comma)
        if value is None:
            raise InputError(f"focus positions {path}: line {number} holds no number of µm: {line}")
        values.append(value)
    if not values:
        raise InputError(f"focus positions {path}: line 1 holds no number of µm")
    remarks: tuple[str, ...] = ()
    if comma:
        first = ", ".join(f"{value:g}" for value in values[:3])
        remarks = (f"{path}: commas are read as decimal commas: {first}, … µm",)
    return FocusPositions(np.array(values), remarks)


def doubtful_span(nfp_um: np.ndarray) -> str | None:
    """Return what is wrong with focus positions that cannot be µm; None if they can.

    Args:
        nfp_um: float ``[S]``, nominal focus positions, µm.
    """
    span = float(np.ptp(nfp_um))
    if span > MAX_SPAN_UM:
        likely = f"they look like nm: {nfp_um.min() / 1000:g} to {nfp_um.max() / 1000:g} µm; divide them by 1000"
        if span / 1000 < MIN_SPAN_UM * 10:
            likely = "expected a stack over a few µm"
        return f"the focus positions go from {nfp_um.min():g} to {nfp_um.max():g} µm; {likely}"
    if 0 < span < MIN_SPAN_UM:
        return (
            f"the focus positions go from {nfp_um.min():g} to {nfp_um.max():g} µm, over less than "
            f"{1000 * MIN_SPAN_UM:g} nm; they look like mm: multiply them by 1000"
        )
    return None


def _columns(lines: list[str], path: str) -> tuple[list[list[str]], bool]:
    """Return the cells of each line, and whether a comma in them is a decimal comma."""
    for separator in (";", "\t"):
        if any(separator in line for line in lines):
            rows = [[_unquoted(cell) for cell in line.split(separator)] for line in lines]
            return rows, any("," in cell for row in rows[1:] or rows for cell in row)
    numbers = [_unquoted(line) for line in lines]
    body = numbers[1:] if _number(numbers[0], True) is None else numbers
    if body and any("," in line for line in body) and all(_is_decimal(line) for line in body):
        single = "," not in numbers[0] or len(body) == len(numbers)
        firsts = [int(line.partition(",")[0]) for line in body if "," in line]
        counted = firsts in (list(range(len(body))), list(range(1, len(body) + 1)))
        if single and len(body) == len(numbers) and counted:
            raise InputError(
                f"focus positions {path}: {body[0]} may be a number with a decimal comma, or a slice and its position; "
                f"write the column's name {COLUMN} above, and points or semicolons"
            )
        if single:
            return [[line] for line in numbers], True
    return [[_unquoted(cell) for cell in line.split(",")] for line in lines], False


def _is_decimal(line: str) -> bool:
    return bool(_DECIMAL_COMMA.match(line)) or _number(line, False) is not None


def _unquoted(cell: str) -> str:
    return cell.strip().strip('"').strip()


def _number(cell: str, comma: bool) -> float | None:
    try:
        value = float(cell.replace(",", ".") if comma else cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
