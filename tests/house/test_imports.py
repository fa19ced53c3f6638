"""Heavy packages stay out until they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE_FILES = sorted((Path(__file__).resolve().parents[2] / "ds3d_tf").rglob("*.py"))
TOOLS = sorted((Path(__file__).resolve().parents[2] / "tools").glob("*.py"))


def modules_after(code: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


def test_the_package_imports_nothing_heavy() -> None:
    assert not modules_after("import ds3d_tf, ds3d_tf.setup") & {"matplotlib", "torch", "tensorflow", "keras"}


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


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_help_answers_without_tensorflow(tool: Path) -> None:
    code = (
        f"import runpy, sys\nsys.argv = [{str(tool)!r}, '--help']\n"
        f"try:\n    runpy.run_path({str(tool)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code"
    )
    assert not modules_after(code) & {"tensorflow", "keras", "torch", "matplotlib", "pandas"}


def test_every_tool_explains_itself() -> None:
    assert TOOLS
    for tool in TOOLS:
        begin = time.perf_counter()
        result = subprocess.run([sys.executable, str(tool), "--help"], capture_output=True, text=True, check=True)
        assert "Usage" in result.stdout
        assert time.perf_counter() - begin < 20, "--help must not load the network"
