"""Molecules as files: CSV, Parquet, Picasso's HDF5, SMLM 0.2."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import refuse_existing, whole_file
from ds3d_tf.localization.tables.tables import COLUMNS, REFINED_COLUMNS
from ds3d_tf.postprocessing.molecules.binary import FACTS_KEY
from ds3d_tf.postprocessing.molecules.columns import (
    BACKGROUND,
    CONFIDENCE,
    FRAME,
    PHOTONS,
    SIGMA,
    UNCERTAINTY_Z,
    X,
    Y,
    Z,
)
from ds3d_tf.postprocessing.molecules.molecules import Molecules, known_pixel_nm

_DECIMALS = 3
_ROWS_AT_A_TIME = 500_000


def check_molecules_name(path: str | Path) -> str:
    """Return the ending of a table's name; raises InputError if it stands for no format that we write."""
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(f"{path}: a table's name ends in {', '.join(_WRITERS)}; got {suffix or 'no ending'}")
    return suffix


def refuse_existing_table(path: str | Path, overwrite: bool) -> Path:
    """Return a table's path if it, and the file that belongs to it, may be written; raises InputError if not."""
    path = refuse_existing(path, overwrite)
    for companion in table_companions(path):
        refuse_existing(companion, overwrite)
    return path


def table_companions(path: str | Path) -> list[Path]:
    """Return the files that a table's format adds beside it: Picasso's YAML."""
    path = Path(path)
    return [path.with_suffix(".yaml")] if check_molecules_name(path) in (".hdf5", ".h5") else []


def write_molecules(molecules: Molecules, path: str | Path) -> None:
    """Write molecules in the format that the name's ending asks for, whole or not at all.

    CSV and SMLM have no place for all that Parquet and Picasso's files keep: pixel, frame's size, history.
    Raises InputError for another ending, an unknown camera pixel (Picasso), or a file that cannot be written.
    """
    path = Path(path)
    writer = _WRITERS[check_molecules_name(path)]
    if writer is _write_picasso:
        known_pixel_nm(molecules, "a table of Picasso")
        _write_picasso_facts(molecules, path.with_suffix(".yaml"))
    with whole_file(path) as temporary:
        writer(molecules, temporary)


def ordered_columns(molecules: Molecules) -> list[str]:
    """Return the columns of a table in the order of our own tables, others after them as they come."""
    ours = [name for name in (*COLUMNS, *REFINED_COLUMNS) if name in molecules.table]
    return [*ours, *[name for name in molecules.table if name not in ours]]


def facts_of(molecules: Molecules) -> dict[str, Any]:
    """Return what is known besides the rows, as JSON keeps it."""
    facts: dict[str, Any] = {"history": list(molecules.history)}
    if molecules.pixel_nm is not None:
        facts["pixel_nm"] = molecules.pixel_nm
    if molecules.frame_shape is not None:
        facts["frame_shape"] = list(molecules.frame_shape)
    if molecules.frame_count is not None:
        facts["frame_count"] = molecules.frame_count
    return facts


def _write_csv(molecules: Molecules, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv as arrow

    names = ordered_columns(molecules)
    options = arrow.WriteOptions(include_header=False, batch_size=65536)
    with open(path, "wb") as stream:
        stream.write((",".join(names) + "\n").encode())
        for start in range(0, len(molecules), _ROWS_AT_A_TIME):
            part = molecules.table.iloc[start : start + _ROWS_AT_A_TIME]
            columns = [_rounded(part[name].to_numpy()) for name in names]
            arrays = [pa.array(column, from_pandas=True) for column in columns]
            arrow.write_csv(pa.table(arrays, names=names), stream, options)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return numbers to picometres; whole ones stay whole."""
    if values.dtype.kind in "iu":
        return values
    return np.round(values.astype(np.float64), _DECIMALS) + 0.0  # no negative zeros


def _write_parquet(molecules: Molecules, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ordered_columns(molecules)
    table = pa.table({name: molecules.table[name].to_numpy() for name in names})
    pq.write_table(table.replace_schema_metadata({FACTS_KEY: json.dumps(facts_of(molecules)).encode()}), path)


def _write_picasso(molecules: Molecules, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("locs", data=picasso_locs(molecules))


def picasso_locs(molecules: Molecules) -> np.ndarray:
    """Return molecules as Picasso's ``locs``: frames from 0, pixels from the centre of the first one.

    Raises InputError if the camera pixel is not known.

    Returns:
        structured array ``[N]``: ``frame`` uint32, the others float32; x, y, sx, sy, lpx, lpy in pixels, z, lpz in nm.
    """
    pixel_nm = known_pixel_nm(molecules, "a table of Picasso")
    table = molecules.table
    blank = np.zeros(len(table))
    values = {
        "x": table[X] / pixel_nm - 0.5,
        "y": table[Y] / pixel_nm - 0.5,
        "photons": table[PHOTONS] if PHOTONS in table else table.get(CONFIDENCE, blank),
        "sx": table[SIGMA] / pixel_nm if SIGMA in table else blank + 1,
        "bg": table.get(BACKGROUND, blank),
        "net_gradient": table.get(CONFIDENCE, blank),
    }
    values["sy"] = values["sx"]
    if molecules.has_uncertainty:
        sigma_nm = molecules.sigma_nm("table of Picasso")
        values["lpx"], values["lpy"] = sigma_nm[:, 0] / pixel_nm, sigma_nm[:, 1] / pixel_nm
    else:
        values["lpx"] = values["lpy"] = blank + 0.25
    if molecules.has_z:
        values["z"] = table[Z]
        if UNCERTAINTY_Z in table:
            values["lpz"] = table[UNCERTAINTY_Z]
    taken = {X, Y, Z, FRAME, CONFIDENCE}
    for name in table:
        if name not in taken and "[" not in name and name.isidentifier():
            values[name] = table[name]
    locs = np.zeros(len(table), [("frame", "<u4"), *((name, "<f4") for name in values)])
    locs["frame"] = molecules.frame - 1
    for name, column in values.items():
        locs[name] = np.nan_to_num(np.asarray(column, np.float64))
    return locs


def _write_picasso_facts(molecules: Molecules, path: Path) -> None:
    import yaml

    pixel_nm = known_pixel_nm(molecules, "a table of Picasso")
    if molecules.frame_shape is not None:
        height, width = molecules.frame_shape
    else:
        width, height = (np.ceil(molecules.xyz_nm[:, :2].max(axis=0, initial=1) / pixel_nm).astype(int)).tolist()
    facts = {
        "Generated by": "ds3d_tf",
        "Width": int(width),
        "Height": int(height),
        "Frames": molecules.frames,
        "Pixelsize": pixel_nm,
    }
    steps = [{"Generated by": f"ds3d_tf: {step}"} for step in molecules.history]
    with whole_file(path) as temporary:
        temporary.write_text(yaml.safe_dump_all([facts, *steps], sort_keys=False), encoding="utf-8")


def _write_smlm(molecules: Molecules, path: Path) -> None:
    """Write version 0.2 of the format: a zip of a manifest and the rows, columns side by side."""
    names = ordered_columns(molecules)
    headers = [name.partition(" [")[0] for name in names]
    units = [name.partition(" [")[2].rstrip("]") or ("frame" if name == FRAME else "1") for name in names]
    if CONFIDENCE in names:
        headers[names.index(CONFIDENCE)] = "confidence"
    kinds = ["uint32" if name == FRAME else "float32" for name in names]
    rows = np.zeros(len(molecules), [(str(k), np.dtype(kind).newbyteorder("<")) for k, kind in enumerate(kinds)])
    for index, name in enumerate(names):
        rows[str(index)] = molecules.table[name].to_numpy()
    layout = {
        "name": "smlm-table(binary)",
        "type": "table",
        "mode": "binary",
        "extension": ".bin",
        "columns": len(names),
        "headers": headers,
        "dtype": kinds,
        "shape": [1] * len(names),
        "units": units,
    }
    info = {
        "name": "molecules.bin",
        "type": "table",
        "format": layout["name"],
        "channel": "default",
        "rows": len(molecules),
        "offset": {},
        "ds3d": facts_of(molecules),
    }
    manifest = {
        "format_version": "0.2",
        "formats": {layout["name"]: layout},
        "files": [info],
        "name": path.stem,
        "description": "molecules written by ds3d-tf",
        "tags": [],
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest, indent=1))
        archive.writestr("molecules.bin", rows.tobytes())


_WRITERS: dict[str, Callable[[Molecules, Path], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".hdf5": _write_picasso,
    ".h5": _write_picasso,
    ".smlm": _write_smlm,
}
