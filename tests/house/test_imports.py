"""Heavy packages stay out until they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE_FILES = sorted((Path(__file__).resolve().parents[2] / "ds3d_tf").rglob("*.py"))


def modules_after(code: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


def test_the_package_imports_nothing_heavy() -> None:
    assert not modules_after("import ds3d_tf") & {"numpy", "pydantic", "matplotlib", "torch", "tensorflow", "keras"}
    setup = modules_after("import ds3d_tf as ds; ds.Setup, ds.load_setup('demo1')")
    assert not setup & {"matplotlib", "torch", "tensorflow", "keras", "pandas"}


def test_the_options_are_light() -> None:
    """Help is made from them."""
    assert not modules_after("import ds3d_tf.options") & {"numpy", "pydantic", "typer", "rich", "tensorflow"}


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=lambda path: path.stem)
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    # Read from the source: Keras itself loads matplotlib where it finds it.
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in tree.body
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"matplotlib", "torch", "dask", "distributed", "grpc", "tensorflow_serving"}
