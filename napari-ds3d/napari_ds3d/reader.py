"""Tables and folders of `ds3d run` as layers of napari."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.postprocessing import Molecules, read_molecules

ENDINGS = (".csv", ".parquet", ".hdf5", ".h5", ".smlm")
STATE, FINAL, DETECTIONS = "run.json", "molecules.csv", "localized.parquet"
LEAST_SIZE_NM, DEFAULT_SIZE_NM = 4.0, 20.0

Layer = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Layer]] | None:
    """Return what reads a path as layers, or None if it is neither a table nor a folder of `ds3d run`."""
    first = Path(path if isinstance(path, str) else path[0])
    if first.is_dir():
        return read_run if (first / STATE).is_file() and (first / FINAL).is_file() else None
    return read_tables if first.suffix.lower() in ENDINGS else None


def read_tables(path: str | Sequence[str]) -> list[Layer]:
    """Return a layer of points for each table; raises InputError for one that cannot be read."""
    paths = [path] if isinstance(path, str) else path
    return [molecules_layer(read_molecules(one), Path(one).stem) for one in paths]


def read_run(path: str | Sequence[str]) -> list[Layer]:
    """Return the molecules of a run, its recording and the molecules of each frame; raises InputError."""
    folder = Path(path if isinstance(path, str) else path[0])
    detections = read_molecules(folder / DETECTIONS)
    layers = [molecules_layer(read_molecules(folder / FINAL), f"{folder.name}: molecules")]
    recording = json.loads((folder / STATE).read_text(encoding="utf-8"))["identity"]["recording"]
    if detections.pixel_nm is None or not Path(recording).exists():
        return layers
    from ds3d_tf.localization import open_frames

    source = open_frames(recording)
    pixel = detections.pixel_nm
    frames = np.stack([source.read(index) for index in range(len(source))]) if len(source) < 2000 else _lazy(source)
    # The frames lie beside the molecules: napari has one world for all layers.
    aside = -1.1 * source.shape[1] * pixel
    place = {"scale": (1.0, pixel, pixel), "translate": (0.0, pixel / 2, aside + pixel / 2)}
    layers.append((frames, {"name": f"{folder.name}: frames", "colormap": "gray", **place}, "image"))
    at = np.column_stack([detections.frame - 1, detections.xyz_nm[:, 1], detections.xyz_nm[:, 0] + aside])
    marks = {"size": 5 * pixel, "face_color": "transparent", "border_color": "orange", "symbol": "disc"}
    layers.append((at, {"name": f"{folder.name}: molecules of each frame", **marks}, "points"))
    return layers


def molecules_layer(molecules: Molecules, name: str) -> Layer:
    """Return molecules as a layer of points in nm: (z, y, x), or (y, x) in two dimensions."""
    xyz_nm = molecules.xyz_nm
    points = xyz_nm[:, ::-1] if molecules.has_z else xyz_nm[:, 1::-1]
    size: Any = DEFAULT_SIZE_NM
    if molecules.has_uncertainty:
        size = np.maximum(2 * molecules.sigma_nm("napari")[:, :2].mean(axis=1), LEAST_SIZE_NM)
    look: dict[str, Any] = {"name": name, "size": size, "features": molecules.table, "border_width": 0, "opacity": 0.7}
    if molecules.has_z:
        low, high = np.percentile(xyz_nm[:, 2], [0.5, 99.5])
        look |= {"face_color": "z [nm]", "face_colormap": "turbo", "face_contrast_limits": (low, max(high, low + 1))}
    look["metadata"] = {"ds3d": {"pixel_nm": molecules.pixel_nm, "frame_shape": molecules.frame_shape}}
    return points, look, "points"


def _lazy(source: Any) -> Any:
    """Return a long recording as an array that is read frame by frame, if dask is installed."""
    import dask.array as da
    from dask import delayed

    shape = source.shape
    parts = [da.from_delayed(delayed(source.read)(k), shape, np.float32)[None] for k in range(len(source))]
    return da.concatenate(parts)
