"""The space in which a search for better settings looks: fields of a Setup with the values they may take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.texts import is_file, parse_yaml, read_text
from ds3d_tf.setup.messages import suggest
from ds3d_tf.setup.setup import Setup, field_names, section_names

KINDS = ("float", "int", "choice")
_KEYS = {"kind", "range", "log", "step", "values"}
# A search compares numbers that a person can read, and that survive single precision.
DIGITS = 6


@dataclass(frozen=True)
class Dimension:
    """One field and the values it may take.

    Attributes:
        field: ``section.field`` of a Setup.
        kind: "float" or "int", from ``low`` to ``high``, or "choice" of ``values``.
        low: smallest number.
        high: largest number.
        log: whether all orders of magnitude count the same.
        step: distance of neighbouring numbers, with ``log`` their ratio; None: any.
        values: what to choose from.
    """

    field: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    values: tuple[Any, ...] = ()

    def number(self, value: float) -> float | int:
        """Return a number as it goes into a setup."""
        return int(value) if self.kind == "int" else float(f"{value:.{DIGITS}g}")

    def described(self) -> dict[str, Any]:
        """Return the dimension as the YAML file holds it."""
        if self.kind == "choice":
            return {"kind": "choice", "values": [list(v) if isinstance(v, tuple) else v for v in self.values]}
        step = {} if self.step is None else {"step": self.step}
        return {"kind": self.kind, "range": [self.number(self.low), self.number(self.high)], "log": self.log, **step}


def space_names() -> list[str]:
    """Return the names of the search spaces that ship with the package."""
    folder = resources.files("ds3d_tf.setup") / "spaces"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_space(name_or_file: str | Path, base: Setup) -> tuple[Dimension, ...]:
    """Return the search space of a YAML file, or of one that ships with the package, checked against a setup.

    Raises InputError for an unreadable file, an unknown field, or values that the field or the setup does not allow.
    """
    text = str(name_or_file)
    path = Path(text)
    if path.suffix in (".yaml", ".yml") or is_file(path):
        content = read_text(path, "search space")
    elif text in space_names():
        content = (resources.files("ds3d_tf.setup") / "spaces" / f"{text}.yaml").read_text(encoding="utf-8")
    else:
        raise InputError(
            f"{argument('space')} {text}: neither a search space nor a YAML file; {suggest(text, space_names())}"
        )
    values = parse_yaml(content, text)
    return read_space(values, base, text)


def read_space(values: Any, base: Setup, where: str = "search space") -> tuple[Dimension, ...]:
    """Return the dimensions of ``{section: {field: {...}}}`` or ``{section.field: {...}}``, checked against a setup.

    Raises InputError, which names ``where`` and the field, for whatever cannot be searched.
    """
    example = "such as `learning.filters: {kind: int, range: [16, 64], step: 16}`"
    if not isinstance(values, Mapping) or not values:
        raise InputError(f"{where}: expected fields of a setup with the values to try, {example}")
    flat: dict[str, Any] = {}
    for name, entry in values.items():
        if str(name) in section_names() and isinstance(entry, Mapping):
            flat.update({f"{name}.{field}": inner for field, inner in entry.items()})
        else:
            flat[str(name)] = entry
    dimensions = tuple(_dimension(field, entry, base, where) for field, entry in flat.items())
    for dimension in dimensions:
        ends = dimension.values or (dimension.number(dimension.low), dimension.number(dimension.high))
        for value in ends:
            try:
                changed_setup(base, {dimension.field: value})
            except InputError as error:
                raise InputError(f"{where}: {dimension.field}: {error}") from None
    return dimensions


def changed_setup(base: Setup, changes: Mapping[str, Any]) -> Setup:
    """Return a setup with the values of a trial.

    The threshold of a localization keeps its share of the largest confidence, unless it is searched itself.

    Raises InputError for values that do not go together.
    """
    changes = dict(changes)
    scale = changes.get("learning.scaling_factor")
    if scale is not None and "learning.peak_threshold" not in changes:
        learning = base.learning
        changes["learning.peak_threshold"] = float(f"{learning.peak_threshold * scale / learning.scaling_factor:.6g}")
    return base.replace(changes)


def _dimension(field: str, entry: Any, base: Setup, where: str) -> Dimension:
    section, _, name = field.partition(".")
    if section not in section_names():
        raise InputError(f"{where}: {field}: there is no section `{section}`; {suggest(section, section_names())}")
    fields = field_names(section)
    if name not in fields:
        raise InputError(f"{where}: {field}: there is no such field; {suggest(name, fields)}")
    if section == "resuming" or field in ("mask.learn", "learning.epochs", "training_set.folder"):
        raise InputError(f"{where}: {field}: cannot be searched; it says how a run goes on, not how a network learns")
    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: {field}: got {entry!r}; write {{values: [...]}} or {{kind: float, range: [a, b]}}")
    unknown = sorted(set(map(str, entry)) - _KEYS)
    if unknown:
        raise InputError(f"{where}: {field}: unknown key {unknown[0]}; {suggest(unknown[0], sorted(_KEYS))}")
    kind = entry.get("kind", "choice" if "values" in entry else None)
    if kind not in KINDS:
        raise InputError(f"{where}: {field}: kind is {kind!r}; expected {', '.join(KINDS)}")
    return _choice(field, entry, where) if kind == "choice" else _range(field, kind, entry, where)


def _choice(field: str, entry: Mapping[str, Any], where: str) -> Dimension:
    values = entry.get("values")
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: {field}: a choice needs values, such as values: [4, 8, 16]")
    if set(map(str, entry)) - {"kind", "values"}:
        raise InputError(f"{where}: {field}: a choice has values only; range, log and step are for float and int")
    if len({repr(value) for value in values}) < len(values):
        raise InputError(f"{where}: {field}: a value occurs twice in {values}")
    return Dimension(field, "choice", values=tuple(tuple(v) if isinstance(v, list) else v for v in values))


def _range(field: str, kind: Any, entry: Mapping[str, Any], where: str) -> Dimension:
    if "values" in entry:
        raise InputError(f"{where}: {field}: values are for kind: choice; {kind} needs range: [lowest, highest]")
    ends, log, step = entry.get("range"), entry.get("log", False), entry.get("step")
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_number, ends)):
        hint = "; YAML reads 1e-3 as text, write 1.0e-3" if "e" in str(ends) else ""
        raise InputError(f"{where}: {field}: range is {ends!r}; expected [lowest, highest]{hint}")
    low, high = ends
    if not low < high:
        raise InputError(f"{where}: {field}: range is {ends}; the lower end comes first, and they differ")
    if not isinstance(log, bool):
        raise InputError(f"{where}: {field}: log is {log!r}; expected true or false")
    if log and low <= 0:
        raise InputError(f"{where}: {field}: with log: true the range must lie above 0, got {ends}")
    if kind == "int" and not all(float(number).is_integer() for number in (low, high, step or 1)):
        raise InputError(f"{where}: {field}: kind: int needs whole numbers, got range {ends}, step {step}")
    if step is not None and not (_is_number(step) and step > (1 if log else 0)):
        raise InputError(f"{where}: {field}: step is {step!r}; expected a number above {'1 (a ratio)' if log else '0'}")
    return Dimension(field, kind, float(low), float(high), log, None if step is None else float(step))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
