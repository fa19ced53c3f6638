"""Public names say what they do, and arrays say shape, axis order and unit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "ds3d_tf"
FILES = sorted(PACKAGE.rglob("*.py"))
ARRAY_ANNOTATION = re.compile(r"\b(ndarray|Tensor|ArrayLike|NDArray)\b")
SHAPE = re.compile(r"\[[^\]]*\]|\bscalar\b|\bshape\b")
UNIT = re.compile(
    r"µm|\bnm\b|pixel|voxel|count|photon|\brad|unit|confidence|normalized|index|indices|seed|True|weight|loss|value"
)
# Keras calls these with its own arguments; their contract is the base class's.
KERAS_METHODS = {"build", "get_config", "compute_output_shape", "result", "from_config"}


def public_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if (
                    isinstance(inner, ast.FunctionDef)
                    and not inner.name.startswith("_")
                    and inner.name not in KERAS_METHODS
                ):
                    yield f"{node.name}.{inner.name}", inner


def entry(docstring: str, argument: str) -> str:
    """Text of an argument in the Args section, up to the next argument."""
    match = re.search(rf"^\s+{re.escape(argument)}: (.*?)(?=^\s+\w+: |^\s*$|\Z)", docstring, re.M | re.S)
    return match.group(1) if match else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_names_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = [] if ast.get_docstring(tree) else ["the module"]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    missing += [node.name for node in classes if not ast.get_docstring(node)]
    missing += [name for name, node in public_functions(tree) if not ast.get_docstring(node)]
    assert not missing, f"{path}: no docstring: {', '.join(missing)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_arrays_state_shape_and_unit(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    problems = []
    for name, node in public_functions(tree):
        docstring = ast.get_docstring(node) or ""
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            annotation = ast.unparse(argument.annotation) if argument.annotation else ""
            if ARRAY_ANNOTATION.search(annotation) and "Callable" not in annotation:
                text = entry(docstring, argument.arg)
                if not (SHAPE.search(text) and UNIT.search(text)):
                    problems.append(f"{name}({argument.arg})")
        returns = ast.unparse(node.returns) if node.returns else ""
        if ARRAY_ANNOTATION.search(returns) and not (SHAPE.search(docstring) and UNIT.search(docstring)):
            problems.append(f"{name} → result")
    assert not problems, f"{path}: shape, axis order and unit missing in the docstring of {', '.join(problems)}"


def test_files_stay_short() -> None:
    long = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}
