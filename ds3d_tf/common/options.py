"""What a command may be told: options classes whose fields carry type, default and help, and jobs that take them."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ds3d_tf.common.errors import InputError, argument

Result = TypeVar("Result")
Part = TypeVar("Part", bound="Options")


@dataclasses.dataclass(frozen=True)
class Option:
    """How a field of an options class looks on the command line.

    Attributes:
        flag: such as ``--memory``, or ``--refine/--no-refine``; an empty one stands for a value without a flag.
        help: one sentence.
        panel: heading in the help text, under which it is listed.
        metavar: what stands for the value in the help text; the type if empty.
        numbers: whether the value is a list of whole numbers with commas between.
        least: smallest number allowed, if any.
        above: number that the value must exceed, if any.
        most: largest number allowed, if any.
    """

    flag: str
    help: str
    panel: str = "Options"
    metavar: str = ""
    numbers: bool = False
    least: float | None = None
    above: float | None = None
    most: float | None = None


@dataclasses.dataclass(frozen=True)
class Options:
    """Base of the options classes: frozen dataclasses whose fields are ``Annotated`` with an :class:`Option`.

    Raises InputError for a value that is not among the choices of its field, or out of its option's range.
    """

    def __post_init__(self) -> None:
        for name, (kind, _, option) in described(type(self)).items():
            value, allowed = getattr(self, name), choices(kind)
            if allowed and value not in allowed:
                known = [str(one) for one in allowed if one is not None]
                expected = " or ".join([", ".join(known[:-1]), known[-1]] if known[1:] else known)
                raise InputError(f"{argument(name)} {value}: expected {expected}")
            if value is not None:
                _check_range(name, value, option)

    def part(self, cls: type[Part]) -> Part:
        """Return the values of the fields that another options class has, as an object of that class."""
        return cls(**{field.name: getattr(self, field.name) for field in dataclasses.fields(cls)})


def described(cls: type[Options]) -> dict[str, tuple[Any, Any, Option]]:
    """Return field → (type, default, option) of an options class, in order; fields without an Option are left out."""
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for field in dataclasses.fields(cls):
        kind, *notes = get_args(hints[field.name]) if get_origin(hints[field.name]) is Annotated else (None,)
        if notes and isinstance(notes[0], Option):
            found[field.name] = (kind, field.default, notes[0])
    return found


def choices(kind: Any) -> tuple[Any, ...]:
    """Return the values that a type allows if it is a ``Literal`` (or one or None), else nothing."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        parts = get_args(kind)
        literals = [part for part in parts if get_origin(part) is Literal]
        if literals and all(part in literals or part is type(None) for part in parts):
            return (*(value for part in literals for value in get_args(part)), None)
    return ()


def takes_options(cls: type[Options]) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Return a decorator for functions with a parameter ``options`` of an options class.

    Callers hand an object of the class, single fields by keyword, or both (the keywords win):
    ``localize(model, frames, out, threshold=30)``. An unknown keyword is a TypeError that names the nearest known one.
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        signature = inspect.signature(function)
        names = [field.name for field in dataclasses.fields(cls)]
        known = [*(name for name in signature.parameters if name != "options"), *names]

        @functools.wraps(function)
        def with_options(*args: Any, **keywords: Any) -> Result:
            for name in keywords:
                if name not in known and name != "options":
                    near = difflib.get_close_matches(name, known, 1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise TypeError(f"{function.__name__}() has no argument {name!r}{hint}")
            single = {name: keywords.pop(name) for name in names if name in keywords}
            bound = signature.bind_partial(*args, **keywords)
            options = bound.arguments.get("options")
            if options is None:
                options = cls()
            elif not isinstance(options, cls):
                raise TypeError(f"{function.__name__}(): expected {cls.__name__} as options, got {options!r}")
            bound.arguments["options"] = dataclasses.replace(options, **single) if single else options
            return function(*bound.args, **bound.kwargs)

        with_options.__signature__ = _shown(signature, cls)  # type: ignore[attr-defined]
        return with_options

    return decorate


def _shown(signature: inspect.Signature, cls: type[Options]) -> inspect.Signature:
    """Return the signature for ``help()``: the fields stand where the options may be given."""
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.name == "options":
            parameter = parameter.replace(default=cls())
        parameters.append(parameter)
    fields = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default)
        for field in dataclasses.fields(cls)
    ]
    return signature.replace(parameters=[*parameters, *fields])


def _check_range(name: str, value: Any, option: Option) -> None:
    """Refuse numbers out of the option's range, and NaN and infinity for every option."""
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(number, (int, float)) for number in numbers):
        return
    least = -math.inf if option.least is None else option.least
    most = math.inf if option.most is None else option.most
    above = -math.inf if option.above is None else option.above
    if all(least <= number <= most and above < number and abs(number) < math.inf for number in numbers):
        return
    shown = " ".join(_shown_number(number) for number in numbers)
    if not all(abs(number) < math.inf for number in numbers):
        expected = "a finite number"
    elif option.above is not None and not all(above < number < math.inf for number in numbers):
        expected = f"more than {option.above:g}"
    elif option.least is not None and not all(least <= number < math.inf for number in numbers):
        expected = f"{option.least:g} or more"
    else:
        expected = f"{option.most:.10g} at most"
    raise InputError(f"{argument(name)} {shown}: expected {expected}")


def _shown_number(number: float) -> str:
    text = str(number) if isinstance(number, int) else f"{number:g}"
    return text if len(text) <= 30 else f"(a number of {len(text)} digits)"
