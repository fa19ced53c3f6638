"""``import ds3d_tf as ds``: its names, for people and for type checkers, and its silence."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ds3d_tf as ds
from ds3d_tf.common.errors import InputError

FACE = Path(ds.__file__)


def names_for_type_checkers() -> dict[str, str]:
    """Name → module of the block that only type checkers read."""
    tree = ast.parse(FACE.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name: node.module for node in block.body for alias in node.names}  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_names_from_the_same_homes() -> None:
    seen = names_for_type_checkers()
    assert sorted(seen) == ds.__all__
    homes = {name: f"ds3d_tf.{home}" for name, home in ds._HOMES.items()}
    assert {name: seen[name] for name in homes} == homes
    assert (FACE.parent / "py.typed").is_file()


@pytest.mark.parametrize("name", ds.__all__)
def test_every_name_is_there(name: str) -> None:
    value = getattr(ds, name)
    assert callable(value) and value.__doc__ and name in dir(ds)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ds.nothing  # noqa: B018


def test_export_is_both_the_room_and_its_job(tmp_path: Path) -> None:
    from ds3d_tf.export import write_card

    assert ds.export is sys.modules["ds3d_tf.export"] and ds.export.write_card is write_card
    with pytest.raises(InputError, match="none: no such model folder"):
        ds.export(tmp_path / "none", "tflite", tmp_path / "a.tflite")


def test_the_docstring_is_the_map_of_rooms() -> None:
    rooms = {path.parent.name for path in FACE.parent.glob("*/__init__.py")} - {"common"}
    assert {room for room in rooms if f"``{room}``" not in ds.__doc__} == set()


def test_tensorflow_is_quiet_in_python_too() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    code = "import ds3d_tf\nimport tensorflow as tf\nprint(int(tf.constant(20) + 22))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")
