"""CSV tables of molecules: ThunderSTORM's, ours, ZOLA-3D's, SMAP's, DECODE's."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ds3d_tf.common.errors import InputError
from ds3d_tf.postprocessing.molecules.columns import FRAME, POSITION, recognize

_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class RawTable:
    """A table as its file has it: columns by the file's names, and what the file says besides.

    ``facts`` may hold ``pixel_nm``, ``unit`` (of lengths without one), ``frame_offset`` (to add, so that frames count
    from 1), ``frame_shape``, ``frame_count``, ``history``, ``pixel_origin`` (pixels to add to positions in pixels).
    """

    columns: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


def header_of_csv(path: Path) -> tuple[list[str], str, int, dict[str, Any]]:
    """Return the names of the columns, the delimiter, the number of lines before the header, and DECODE's facts.

    Raises InputError if the file cannot be read.
    """
    facts: dict[str, Any] = {}
    skipped = 0
    try:
        with open(path, encoding="utf-8-sig", errors="strict") as stream:
            for line in stream:
                if not line.startswith("#"):
                    break
                skipped += 1
                facts |= _decode_facts(line.lstrip("# ").strip())
            else:
                raise InputError(f"{path}: not a CSV table (it is empty)")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a CSV table (not text)") from error
    delimiter = max(_DELIMITERS, key=line.count)
    names = [name.strip() for name in next(csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True))]
    if names and _is_number(names[0]):
        raise InputError(f"{path}: no header; the first line must name the columns, such as frame,x [nm],y [nm],z [nm]")
    return names, delimiter, skipped, facts


def read_csv(path: Path, wanted: Sequence[str] | None) -> RawTable:
    """Return a CSV table, read by Arrow where it can.

    Args:
        path: file to read.
        wanted: the columns to read, by the file's names; None: all that are numbers.

    Raises InputError if the file cannot be read or holds something that is not a number.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    names, delimiter, skipped, facts = header_of_csv(path)
    chosen = [name for name in names if name and (wanted is None or name in wanted)]
    if len(set(chosen)) < len(chosen):
        raise InputError(f"{path}: two columns are called {max(chosen, key=chosen.count)!r}")
    filled = [name or f"column {index}" for index, name in enumerate(names)]
    try:
        table = arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(column_names=filled, skip_rows=skipped + 1, block_size=16 << 20),
            parse_options=arrow.ParseOptions(delimiter=delimiter),
            convert_options=arrow.ConvertOptions(
                include_columns=chosen,
                column_types={name: pa.float64() for name in chosen},
                strings_can_be_null=True,
            ),
        )
        columns = {name: table[name].to_numpy() for name in chosen}
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError):
        columns = _read_slowly(path, chosen, delimiter, skipped)
    return RawTable(columns, facts)


def _read_slowly(path: Path, chosen: list[str], delimiter: str, skipped: int) -> dict[str, np.ndarray]:
    """Read what Arrow refuses: find the row at fault, or leave out columns of text."""
    try:
        table = pd.read_csv(path, sep=delimiter, skiprows=skipped, skipinitialspace=True, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a CSV table ({str(error).strip().splitlines()[0]})") from error
    table.columns = [str(name).strip() for name in table.columns]
    columns = {}
    for name in chosen:
        if name not in table:
            continue
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
        bad = np.flatnonzero(np.isnan(numbers) & table[name].notna().to_numpy())
        if len(bad) and (recognize(name).name in (FRAME, *POSITION) or len(bad) < len(numbers) / 2):
            text = str(table[name].iloc[bad[0]])
            if text.strip() == name:
                raise InputError(f"{path}: row {bad[0] + skipped + 2}: the header again; two tables in one file?")
            hint = "; use a point for decimals" if "," in text else ""
            raise InputError(f"{path}: row {bad[0] + skipped + 2}, column {name!r}: {text!r} is not a number{hint}")
        if not len(bad):
            columns[name] = numbers
    return columns


def _decode_facts(line: str) -> dict[str, Any]:
    """Return what DECODE's commented lines say: frames count from 0, unit and pixel."""
    if line.startswith("DECODE"):
        return {"frame_offset": 1, "unit": "px", "pixel_origin": 0.5}
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    facts: dict[str, Any] = {}
    if content.get("xy_unit"):
        facts["unit"] = str(content["xy_unit"])
    pixel = content.get("px_size")
    if isinstance(pixel, list | tuple) and pixel:
        facts["pixel_nm"] = float(pixel[0])
    return facts


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
