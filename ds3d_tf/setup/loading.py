"""From a preset's name or a file to a Setup, with the command line's changes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.texts import is_file, parse_yaml, read_text, short_name
from ds3d_tf.setup.messages import suggest
from ds3d_tf.setup.setup import Setup, field_names, section_names

SUBSTITUTES = {"demo1": "tetrapod", "demo2": "tetrapod", "demo3": "tetrapod"}
"""Preset → built-in mask of the same family, taken where the preset's mask file is not found."""


def preset_names() -> list[str]:
    """Return the names of the setups that ship with the package."""
    folder = resources.files("ds3d_tf.setup") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_setup(name_or_file: str | Path, overrides: Sequence[str] = ()) -> Setup:
    """Return a preset by name, or the setup of a YAML file, with ``section.field=value`` changes applied.

    Raises InputError for an unknown preset, an unreadable file, or wrong values.
    """
    text = str(name_or_file)
    path = Path(text)
    substitute, base_folder = None, None
    if path.suffix in (".yaml", ".yml") or is_file(path):
        content = read_text(path, "setup")
        base_folder = path.absolute().parent
        values = _parse(content, str(path), base_folder)
    elif text in preset_names():
        content = (resources.files("ds3d_tf.setup") / "presets" / f"{text}.yaml").read_text(encoding="utf-8")
        values = _parse(content, text, None)
        substitute = SUBSTITUTES.get(text)
    else:
        raise InputError(
            f"{argument('setup')} {short_name(text)}: neither a preset nor a YAML file; "
            f"{suggest(short_name(text), preset_names())}"
        )
    for override in overrides:
        _apply(values, override)
        if override.partition("=")[0].strip() == "mask.source":
            substitute = None
    return Setup.create(values, where=text, base_folder=base_folder, mask_substitute=substitute)


def _parse(content: str, where: str, base_folder: Path | None) -> dict[str, Any]:
    setup = Setup.from_yaml(content, where=where, base_folder=base_folder)
    return setup.model_dump()


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    section, dot, field = path.strip().partition(".")
    if not equals or (not dot and section != "name"):
        raise InputError(
            f"{argument('overrides')} {override}: write it as section.field=value, such as learning.epochs=10"
        )
    value = parse_yaml(text, f"{argument('overrides')} {short_name(override)}")
    if section == "name":
        values["name"] = value
        return
    if section not in section_names():
        raise InputError(
            f"{argument('overrides')} {override}: there is no section `{section}`; {suggest(section, section_names())}"
        )
    fields = field_names(section)
    if field not in fields:
        raise InputError(f"{argument('overrides')} {override}: there is no field `{field}`; {suggest(field, fields)}")
    values.setdefault(section, {})[field] = value
