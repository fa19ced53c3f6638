"""The tables of fields in `docs/setup.md`, from the Setup. `python docs/hooks/setup_fields.py` rewrites them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ds3d_tf.setup.camera_section import CameraSection
from ds3d_tf.setup.section import Section
from ds3d_tf.setup.sections import Sections

PAGE = Path(__file__).resolve().parents[1] / "setup.md"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value)


def field_tables() -> str:
    """Return a heading, the docstring and a table of fields for every section, in the order of the setup."""
    lines = []
    for name, field in Sections.model_fields.items():
        section = CameraSection() if name == "camera" else field.default
        if not isinstance(section, Section):
            continue
        number, meaning = re.fullmatch(r"(\d+)\. (.*)", (type(section).__doc__ or "").strip(), re.DOTALL).groups()  # type: ignore[union-attr]
        lines += [f"### {number}. `{name}`", "", " ".join(meaning.split()), ""]
        lines += ["| field | default | meaning |", "|---|---|---|"]
        for key, described in type(section).model_fields.items():
            lines.append(f"| `{key}` | {_shown(getattr(section, key))} | {described.description} |")
        lines.append("")
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """Return the text of the page with today's tables between its headings."""
    head, rest = page.split("## Fields\n", 1)
    tail = rest[rest.index("## From DeepSTORM3D") :]
    return f"{head}## Fields\n\n{field_tables()}\n{tail}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
