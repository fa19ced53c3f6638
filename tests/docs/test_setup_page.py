"""The tables of fields in docs/setup.md are those of the Setup."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def test_the_tables_of_fields_are_those_of_the_setup(repository: Path) -> None:
    script = repository / "docs/hooks/setup_fields.py"
    spec = importlib.util.spec_from_file_location("setup_fields", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (repository / "docs/setup.md").read_text(encoding="utf-8")
    assert page == module.with_tables(page), "run: python docs/hooks/setup_fields.py"
