"""The notebooks of `examples/`: executed, without errors, small; a slow test executes them again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ["01_simulate", "02_calibrate", "03_train", "04_localize", "05_evaluate", "06_export"]
MAX_BYTES = 1_000_000


def _code_cells(name: str) -> list[dict[str, Any]]:
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_all_notebooks_are_there() -> None:
    assert [path.stem for path in sorted(EXAMPLES.glob("*.ipynb"))] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_notebook_was_executed(name: str) -> None:
    """Every cell ran, in order and without an error; there are pictures, and no paths of the machine it ran on."""
    assert (EXAMPLES / f"{name}.ipynb").stat().st_size < MAX_BYTES
    cells = _code_cells(name)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        text = "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
        assert not re.search(r"/tmp/|/home/|/root/|/work/|[A-Z]:\\", text), f"{name}: {text}"


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_notebooks(name: str) -> None:
    text = (EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((\w+)\.ipynb\)", text):
        assert target in NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_notebook_executes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook runs from its first cell to its last."""
    nbformat = pytest.importorskip("nbformat", reason="the extra 'docs' is not installed")
    client = pytest.importorskip("nbclient", reason="the extra 'docs' is not installed")
    pytest.importorskip("ipykernel", reason="the extra 'docs' is not installed")
    for variable in ("TMPDIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    client.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert all(cell["execution_count"] for cell in notebook.cells if cell["cell_type"] == "code" and cell["source"])
