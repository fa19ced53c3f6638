"""Options classes, and functions that take them whole or field by field."""

from __future__ import annotations

import dataclasses
import inspect
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.options import Option, Options, choices, described, takes_options


@dataclass(frozen=True)
class Few(Options):
    """Two options."""

    size_px: Annotated[int | None, Option("--size", "Size.", least=1)] = None
    kind: Annotated[Literal["a", "b"] | None, Option("--kind", "Kind.")] = "a"


@dataclass(frozen=True)
class More(Few):
    """Two further options, one for Python alone."""

    speed: Annotated[float, Option("--speed", "Speed.", above=0)] = 1.5
    pair: Annotated[tuple[int, int], Option("--pair", "Pair.", least=0)] = (3, 4)
    hidden: int = 7


@takes_options(More)
def work(name: str, options: More, *, overwrite: bool = False) -> tuple[str, More, bool]:
    """Return what was given."""
    return name, options, overwrite


def test_options_may_be_given_whole_by_field_or_both() -> None:
    assert work("x") == ("x", More(), False)
    assert work("x", More(speed=2.0), overwrite=True) == ("x", More(speed=2.0), True)
    assert work("x", size_px=3, kind="b")[1] == More(size_px=3, kind="b")
    assert work("x", options=More(speed=2.0, size_px=1), size_px=5)[1] == More(speed=2.0, size_px=5)


def test_unknown_names_and_other_objects_are_refused_in_one_line() -> None:
    with pytest.raises(TypeError, match=r"^work\(\) has no argument 'sped'; did you mean 'speed'\?$"):
        work("x", sped=3)
    with pytest.raises(TypeError, match=r"^work\(\) has no argument 'zzz'$"):
        work("x", zzz=3)
    with pytest.raises(TypeError, match="expected More as options, got Few"):
        work("x", Few())
    with pytest.raises(TypeError, match="name"):
        work(speed=3.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "c"}, "kind c: expected a or b"),
        ({"size_px": 0}, "size_px 0: expected 1 or more"),
        ({"speed": 0.0}, "speed 0: expected more than 0"),
        ({"speed": math.nan}, "speed nan: expected a finite number"),
        ({"speed": math.inf}, "speed inf: expected a finite number"),
        ({"pair": (1, -1)}, "pair 1 -1: expected 0 or more"),
    ],
)
def test_values_out_of_range_are_refused(values: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        More(**values)
    assert str(caught.value) == message
    with pytest.raises(InputError):
        work("x", **values)


def test_an_options_class_describes_itself() -> None:
    found = described(More)
    assert list(found) == ["size_px", "kind", "speed", "pair"]
    assert found["speed"] == (float, 1.5, Option("--speed", "Speed.", above=0))
    assert choices(found["kind"][0]) == ("a", "b", None) and choices(found["speed"][0]) == ()
    assert More(size_px=2, speed=9.0).part(Few) == Few(size_px=2)


def test_help_of_the_function_shows_every_field() -> None:
    parameters = inspect.signature(work).parameters
    assert list(parameters) == ["name", "options", "overwrite", *(field.name for field in dataclasses.fields(More))]
    assert parameters["speed"].default == 1.5
