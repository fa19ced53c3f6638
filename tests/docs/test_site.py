"""The documentation site builds without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_site_builds_strictly(repository: Path, tmp_path: Path) -> None:
    """`mkdocs build --strict` passes, and the pages made by hooks are there."""
    for module in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(module, reason="the extra 'docs' is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    site = tmp_path / "site"
    commands = (site / "commands/index.html").read_text(encoding="utf-8")
    for command in ("ds3d train", "ds3d localize", "ds3d evaluate"):
        assert command in commands
    assert "--threshold" in commands
    assert "class" in (site / "api/localization/index.html").read_text(encoding="utf-8")
    for notebook in sorted((repository / "examples").glob("*.ipynb")):
        page = (site / f"examples/{notebook.stem}/index.html").read_text(encoding="utf-8")
        assert "<img" in page, f"{notebook.name} shows no picture"


def test_pages_load_nothing_from_elsewhere(repository: Path) -> None:
    """The theme fetches no fonts, and no page shows pictures or runs scripts of another host."""
    config = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in config
    for page in sorted((repository / "docs").glob("*.md")):
        content = page.read_text(encoding="utf-8")
        assert "](http" not in "".join(line for line in content.splitlines() if line.startswith("![")), page
        assert "<script" not in content, page
