"""The Setup: one typed, validated, frozen description of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import PrivateAttr, ValidationError

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.texts import parse_yaml
from ds3d_tf.setup import sections
from ds3d_tf.setup.camera_files import camera_maps, map_file, section_of, write_maps
from ds3d_tf.setup.camera_section import CameraSection
from ds3d_tf.setup.checks import check_combinations
from ds3d_tf.setup.messages import describe_errors


class Setup(sections.Sections):
    """One experiment in thirteen sections, of which `camera` may be absent; frozen, with unknown keys refused.

    Build it with :meth:`create`, :meth:`from_yaml`, :meth:`from_deepstorm3d` or
    :func:`ds3d_tf.setup.load_setup`; all raise InputError, one line, for a wrong value.
    """

    _base_folder: Path | None = PrivateAttr(None)
    _mask_rad: np.ndarray | None = PrivateAttr(None)
    _mask_substitute: str | None = PrivateAttr(None)
    _camera_maps: dict[str, np.ndarray] = PrivateAttr(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Two setups are equal when all their sections are, wherever they were read from."""
        return isinstance(other, Setup) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash(self.to_yaml())

    @property
    def base_folder(self) -> Path | None:
        """Folder of the file this setup was read from; relative mask files are looked for there first."""
        return self._base_folder

    @property
    def mask_rad(self) -> np.ndarray | None:
        """Phase mask carried in memory, float64 ``[N, N]`` (row, column), radians; None: see ``mask.source``."""
        return self._mask_rad

    @property
    def mask_substitute(self) -> str | None:
        """Built-in mask to take where the file of ``mask.source`` is not found; presets may have one, files have not.

        A setup whose ``mask.source`` is changed has none.
        """
        return self._mask_substitute

    @property
    def camera_maps(self) -> Mapping[str, np.ndarray]:
        """Camera maps carried in memory: field → ``[H, W]`` (row, column), in the field's unit; others are files."""
        return self._camera_maps

    @classmethod
    def create(
        cls,
        values: Mapping[str, Any],
        *,
        where: str = "setup",
        base_folder: Path | None = None,
        mask_rad: np.ndarray | None = None,
        mask_substitute: str | None = None,
        camera_maps: Mapping[str, np.ndarray] | None = None,
    ) -> Setup:
        """Return the checked setup of a nested dictionary ``{section: {field: value}}``.

        Args:
            values: fields by section.
            where: what the values came from, for messages.
            base_folder: folder in which relative files of masks and camera maps are looked for first.
            mask_rad: float64 ``[N, N]`` (row, column), phase mask to carry in memory, radians.
            mask_substitute: built-in mask to take where the mask's file is not found.
            camera_maps: field of `camera` → ``[H, W]`` (row, column), map to carry in memory, in the field's unit.

        Raises InputError that names every wrong field, its value, what is allowed and how to mend it.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"{where}: expected sections with fields (such as `optics:`), got {type(values).__name__}")
        values = dict(values)
        if isinstance(values.get("camera"), str):
            values["camera"] = section_of(values["camera"], where, base_folder)
        try:
            setup = cls.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{where}: {describe_errors(error, cls)}") from None
        problems = check_combinations(setup)
        if problems:
            raise InputError(f"{where}: " + "; ".join(problems))
        setup._base_folder = base_folder
        setup._mask_rad = mask_rad
        setup._mask_substitute = mask_substitute
        files = setup.camera.map_files if setup.camera else {}
        setup._camera_maps = {name: array for name, array in (camera_maps or {}).items() if name in files}
        return setup

    @classmethod
    def from_yaml(cls, text: str, *, where: str = "setup", base_folder: Path | None = None) -> Setup:
        """Return the setup of a YAML text; raises InputError for bad YAML or wrong values."""
        values = parse_yaml(text, where)
        return cls.create({} if values is None else values, where=where, base_folder=base_folder)

    def to_yaml(self) -> str:
        """Return the YAML text from which :meth:`from_yaml` makes an equal setup."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=100)

    @classmethod
    def from_deepstorm3d(cls, parameters: Mapping[str, Any], *, name: str = "deepstorm3d") -> Setup:
        """Return the setup of a parameter dictionary of DeepSTORM3D (names: docs/setup.md).

        A mask array in ``mask_init`` travels with the setup; :meth:`save` writes it beside the YAML file.
        Raises InputError for unknown, missing or wrong parameters.
        """
        from ds3d_tf.setup.deepstorm3d import translate

        values, mask_rad = translate(parameters)
        return cls.create({"name": name, **values}, where="DeepSTORM3D parameters", mask_rad=mask_rad)

    def replace(self, changes: Mapping[str, Any]) -> Setup:
        """Return a checked copy with ``{"section.field": value}`` changed; raises InputError."""
        values = self.model_dump()
        for path, value in changes.items():
            section, _, field = path.partition(".")
            if not field:
                values[section] = value
            elif isinstance(values.get(section, {}), dict):
                values.setdefault(section, {})[field] = value
            else:
                raise InputError(f"{path}: `{section}` is not a section; sections are {', '.join(section_names())}")
        same_mask = not {"mask", "mask.source"} & changes.keys()
        return Setup.create(
            values,
            where="setup",
            base_folder=self._base_folder,
            mask_rad=self._mask_rad if same_mask else None,
            mask_substitute=self._mask_substitute if same_mask else None,
            camera_maps={
                name: array
                for name, array in self._camera_maps.items()
                if not {"camera", f"camera.{name}"} & changes.keys()
            },
        )

    def with_mask(self, mask_rad: np.ndarray, file: str = "mask.npy") -> Setup:
        """Return a checked copy that carries a mask in memory; :meth:`save` writes the mask beside the YAML file.

        The array is the whole mask, so Zernike terms that would be added to it are removed.

        Args:
            mask_rad: float ``[N, N]`` (rows along y, columns along x), phase mask, radians.
            file: file name of the mask, for ``mask.source``.

        Raises InputError if the optics do not allow a mask of this size.
        """
        mask_rad = np.asarray(mask_rad, np.float64)
        changes = {"mask.source": file, "mask.size_px": int(mask_rad.shape[0]), "mask.zernike_rad": {}}
        setup = self.replace(changes)
        setup._mask_rad = mask_rad
        return setup

    def with_camera_maps(self) -> Setup:
        """Return a copy that carries the maps of its camera in memory, under the names that :meth:`save` gives them.

        A setup without maps is returned as it is. Raises InputError if a map cannot be read.
        """
        maps = camera_maps(self)
        if not maps:
            return self
        setup = self.replace({f"camera.{name}": map_file(name) for name in maps})
        setup._camera_maps = maps
        return setup

    def save(self, path: str | Path) -> None:
        """Write the setup as YAML; beside it its mask, if it carries one in memory, and the maps of its camera.

        Raises InputError if a map cannot be read, or the files cannot be written.
        """
        path = Path(path)
        own = self.with_camera_maps()
        write_maps(path.parent, own.camera_maps)
        if self._mask_rad is not None:
            with whole_file(path.parent / self.mask.source) as temporary, open(temporary, "wb") as stream:
                np.save(stream, self._mask_rad)
        with whole_file(path) as temporary:
            temporary.write_text(own.to_yaml(), encoding="utf-8")


def section_names() -> list[str]:
    """Return the names of the thirteen sections in order."""
    return [name for name in Setup.model_fields if name != "name"]


def field_names(section: str) -> list[str]:
    """Return the names of a section's fields, whether or not a setup has it."""
    default = Setup.model_fields[section].default
    return list((CameraSection if default is None else type(default)).model_fields)
