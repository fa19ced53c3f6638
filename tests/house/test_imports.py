"""Heavy packages stay out until they are needed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

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


def test_model_room_needs_no_matplotlib_or_torch() -> None:
    assert not modules_after("import ds3d_tf.model, ds3d_tf.training, ds3d_tf.export") & {"matplotlib", "torch"}


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
