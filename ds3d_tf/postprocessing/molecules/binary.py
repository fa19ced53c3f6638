"""Parquet, Picasso's HDF5 and SMLM 0.2 tables of molecules, as their files have them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.postprocessing.molecules.text import RawTable

FACTS_KEY = b"ds3d"
_PICASSO_NAMES = {
    "lpx": "uncertainty_x [px]",
    "lpy": "uncertainty_y [px]",
    "lpz": "uncertainty_z [nm]",
    "sx": "sigma [px]",
    "x": "x [px]",
    "y": "y [px]",
    "z": "z [nm]",
    "photons": "intensity [photon]",
    "bg": "offset [photon]",
}


def read_parquet(path: Path, wanted: Sequence[str] | None) -> RawTable:
    """Return a Parquet table: its columns of numbers, or the ``wanted`` ones; raises InputError if it cannot."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        numbers = [
            one.name for one in file.schema_arrow if pa.types.is_integer(one.type) or pa.types.is_floating(one.type)
        ]
        chosen = [name for name in numbers if wanted is None or name in wanted]
        table = file.read(columns=chosen)
        facts = json.loads((file.schema_arrow.metadata or {}).get(FACTS_KEY, b"{}"))
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: not a Parquet table ({str(error).splitlines()[0]})") from error
    return RawTable({name: table[name].to_numpy() for name in chosen}, facts)


def parquet_names(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet table; raises InputError if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: not a Parquet table ({str(error).splitlines()[0]})") from error


def read_picasso(path: Path, wanted: Sequence[str] | None) -> RawTable:
    """Return the table ``locs`` of a Picasso file and what the YAML file beside it says.

    Picasso counts frames from 0, and positions in camera pixels from the centre of the first one.
    Raises InputError if a file is missing or cannot be read.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            if "locs" not in file or file["locs"].dtype.names is None:
                raise InputError(f"{path}: not a table of Picasso (no table 'locs')")
            names = file["locs"].dtype.names
            translated = {name: _PICASSO_NAMES.get(name, name) for name in names if name != "sy"}
            columns = {
                ours: np.asarray(file["locs"][name])
                for name, ours in translated.items()
                if wanted is None or ours in wanted
            }
    except OSError as error:
        reason = "no such file" if not path.exists() else "not an HDF5 file"
        raise InputError(f"{path}: {reason}") from error
    return RawTable(columns, {"frame_offset": 1, "pixel_origin": 0.5, **_picasso_facts(path.with_suffix(".yaml"))})


def picasso_names(path: Path) -> list[str]:
    """Return the names of the columns of a Picasso file, as :func:`read_picasso` gives them; raises InputError."""
    import h5py

    try:
        with h5py.File(path) as file:
            names = file["locs"].dtype.names if "locs" in file else None
    except OSError as error:
        reason = "no such file" if not path.exists() else "not an HDF5 file"
        raise InputError(f"{path}: {reason}") from error
    if names is None:
        raise InputError(f"{path}: not a table of Picasso (no table 'locs')")
    return [_PICASSO_NAMES.get(name, name) for name in names if name != "sy"]


def read_smlm(path: Path, wanted: Sequence[str] | None) -> RawTable:
    """Return the first table of an SMLM 0.2 file (https://github.com/imodpasteur/smlm-file-format); raises InputError.

    Its columns are in nm unless the file says otherwise; frames are taken as they are.
    """
    info, layout, content = _smlm_table(path, with_rows=True)
    kinds = []
    for index, (name, kind, shape) in enumerate(zip(layout["headers"], layout["dtype"], layout["shape"], strict=True)):
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        label = name if name not in layout["headers"][:index] else f"{name}_{index}"
        kinds.append((label, np.dtype(kind).newbyteorder("<"), () if sizes == (1,) else sizes))
    try:
        rows = np.frombuffer(content, np.dtype(kinds), count=int(info["rows"]))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: its table is shorter than its manifest says") from error
    units = layout.get("units") or [""] * len(kinds)
    columns = {}
    for (name, _, shape), unit in zip(kinds, units, strict=True):
        header = f"{name} [{unit}]" if unit in ("nm", "um", "px", "pixel", "photon") else name
        if shape == () and (wanted is None or header in wanted):
            columns[header] = rows[name].astype(np.float64) + float(info.get("offset", {}).get(name, 0))
    return RawTable(columns, dict(info.get("ds3d", {})))


def smlm_names(path: Path) -> list[str]:
    """Return the names of the columns of an SMLM file; raises InputError if it cannot be read."""
    _, layout, _ = _smlm_table(path, with_rows=False)
    units = layout.get("units") or [""] * len(layout["headers"])
    return [
        f"{name} [{unit}]" if unit in ("nm", "um", "px", "pixel", "photon") else name
        for name, unit in zip(layout["headers"], units, strict=True)
    ]


def _smlm_table(path: Path, *, with_rows: bool) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            if str(manifest["format_version"]) != "0.2":
                raise InputError(f"{path}: SMLM version {manifest['format_version']}; expected 0.2")
            info = next(one for one in manifest["files"] if one["type"] == "table")
            layout = manifest["formats"][info["format"]]
            if layout["mode"] != "binary":
                raise InputError(f"{path}: its table is not binary; unzip it and use the text table in it")
            return info, layout, archive.read(info["name"]) if with_rows else b""
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, StopIteration) as error:
        raise InputError(f"{path}: not an SMLM file of version 0.2 ({error or 'no table'})") from error


def _picasso_facts(path: Path) -> dict[str, Any]:
    import yaml

    if not path.exists():
        return {}
    try:
        parts = [part for part in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(part, dict)]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not Picasso's metadata ({str(error).splitlines()[0]})") from error
    said: dict[str, Any] = {}
    for part in parts:
        said |= part
    facts: dict[str, Any] = {}
    if "Pixelsize" in said:
        facts["pixel_nm"] = said["Pixelsize"]
    if "Width" in said and "Height" in said:
        facts["frame_shape"] = (int(said["Height"]), int(said["Width"]))
    if "Frames" in said:
        facts["frame_count"] = int(said["Frames"])
    facts["history"] = tuple(str(part["Generated by"]) for part in parts if "Generated by" in part)
    return facts
