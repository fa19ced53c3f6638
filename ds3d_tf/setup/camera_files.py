"""Files of a setup's camera: its maps, and cameras as other programs describe them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.arrays import read_npy, read_tiff_plane
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.texts import parse_yaml_documents, read_text
from ds3d_tf.setup.camera import Camera
from ds3d_tf.setup.camera_section import OTHER_NAMES, CameraSection

if TYPE_CHECKING:
    from ds3d_tf.setup.setup import Setup


def load_camera(setup: Setup) -> Camera | None:
    """Return the checked camera of a ``Setup``; None if it has no section `camera`.

    Maps that the setup carries in memory come first; files are looked for beside the setup file and in the current
    folder. Raises InputError if a map is missing, unreadable or wrong (see :meth:`Camera.from_section`).
    """
    if setup.camera is None:
        return None
    return Camera.from_section(setup.camera, camera_maps(setup))


def camera_maps(setup: Setup) -> dict[str, np.ndarray]:
    """Return field → map of the setup's camera: each ``[H, W]`` as stored, in the field's unit.

    Raises InputError if one is missing or unreadable.
    """
    if setup.camera is None:
        return {}
    carried = setup.camera_maps
    return {
        name: carried[name] if name in carried else read_map(_find(file, name, setup.base_folder), name)
        for name, file in setup.camera.map_files.items()
    }


def read_map(path: str | Path, name: str) -> np.ndarray:
    """Return a map of a camera, ``[H, W]`` (row, column), as stored: counts, counts per electron or electrons.

    Args:
        path: a .npy, .tif or .tiff file.
        name: of the field, for messages.

    Raises InputError if the file cannot be read.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            return read_npy(path, f"camera.{name}: {path}")
        return read_tiff_plane(path, f"camera.{name}: {path}")
    except InputError:
        raise
    except Exception as error:  # each reader has its own kinds of error for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"camera.{name}: {path} cannot be read as {path.suffix}: {reason}") from error


def write_maps(folder: str | Path, maps: Mapping[str, np.ndarray]) -> None:
    """Write maps as ``camera_<field>.npy``, the names that :meth:`Setup.with_camera_maps` gives them.

    Args:
        folder: where to.
        maps: field → ``[H, W]``, in the field's unit.

    Raises InputError if a file cannot be written.
    """
    for name, array in maps.items():
        with whole_file(Path(folder) / map_file(name)) as temporary, open(temporary, "wb") as stream:
            np.save(stream, array)


def map_file(name: str) -> str:
    """Return the file name of a field's map beside a saved setup."""
    return f"camera_{name}.npy"


def section_of(value: Any, where: str, base_folder: Path | None) -> Any:
    """Return the fields of a section `camera` that may be the name of a YAML file; other values as they are.

    Such a file holds the fields under our names or those of Picasso, DECODE or SMAP, among others, in any of its
    documents (Picasso writes a YAML file beside each table). Raises InputError if there is none.
    """
    if not isinstance(value, str):
        return value
    path = next((f / value for f in _folders(base_folder) if (f / value).is_file()), None)
    if path is None or path.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"{where}: camera: {value!r}: expected fields or an existing YAML file with them")
    try:
        documents = parse_yaml_documents(read_text(path, "camera"), str(path))
    except InputError as error:
        raise InputError(f"{where}: camera: {error.marked}") from None
    known = {*CameraSection.model_fields, *OTHER_NAMES}
    found: dict[str, Any] = {}
    for document in documents:
        if isinstance(document, Mapping):
            found.update({name: content for name, content in document.items() if name in known})
    if not found:
        raise InputError(f"{where}: camera: {path} says nothing of a camera, such as Baseline or Sensitivity")
    return found


def _find(file: str, name: str, base_folder: Path | None) -> Path:
    path = Path(file).expanduser()
    folders = [Path()] if path.is_absolute() else _folders(base_folder)
    for folder in folders:
        if (folder / path).is_file():
            return folder / path
    looked = "" if path.is_absolute() else f" (looked in {', '.join(str(folder.absolute()) for folder in folders)})"
    raise InputError(f"camera.{name}: map not found: {file}{looked}")


def _folders(base_folder: Path | None) -> list[Path]:
    return [*([base_folder] if base_folder is not None else []), Path()]
