"""The steps of a run and their options, as a lab writes them down in YAML."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.options import Options, described
from ds3d_tf.options import (
    DriftOptions,
    FilterOptions,
    GroupOptions,
    LocalizeOptions,
    QualityOptions,
    RenderOptions,
    ReportOptions,
)

# Step → its options, in the order in which they are done.
STEPS: dict[str, type[Options]] = {
    "localize": LocalizeOptions,
    "drift": DriftOptions,
    "filter": FilterOptions,
    "group": GroupOptions,
    "quality": QualityOptions,
    "render": RenderOptions,
    "report": ReportOptions,
}
# Where they differ from the commands' own: what a recording of unknown kind can take, with the same result everywhere.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "drift": {"method": "correlation"},
    "filter": {"keep": ("uncertainty<60", "uncertainty_z<120")},
}
_GIVEN_BY_RUN = {"report": ("frames", "model", "detections", "drift", "position", "channel")}
_NEEDED = ("localize",)


@dataclass(frozen=True)
class Plan:
    """What a run does: step → options, and which steps were asked for in a file.

    Steps that were not asked for are skipped where a table does not allow them; those that were fail.
    """

    options: dict[str, Options]
    asked: frozenset[str] = frozenset()

    def __contains__(self, step: str) -> bool:
        return step in self.options

    @property
    def localize(self) -> LocalizeOptions:
        """Options of the step that no plan can do without."""
        options = self.options["localize"]
        assert isinstance(options, LocalizeOptions)
        return options

    def of(self, position: str | None, channel: str | None) -> Plan:
        """Return the plan for one position and channel of the recording, where these are given."""
        known = self.localize
        chosen = replace(known, position=position or known.position, channel=channel or known.channel)
        return replace(self, options={**self.options, "localize": chosen})


def read_plan(path: str | Path | None) -> Plan:
    """Return the plan of a YAML file, step → its options or false; None: the default plan.

    Options have the names of the options classes (``max_drift_nm``) or of the command line (``max-drift``).
    Raises InputError for a file that cannot be read, or an unknown step, option or value.
    """
    content = {} if path is None else _content(Path(path))
    unknown = [name for name in content if name not in STEPS]
    if unknown:
        near = difflib.get_close_matches(str(unknown[0]), STEPS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"steps are {', '.join(STEPS)}"
        raise InputError(f"{path}: {unknown[0]!r} is not a step; {hint}")
    options = {}
    for step, cls in STEPS.items():
        given = content.get(step, {})
        if given is False:
            if step in _NEEDED:
                raise InputError(f"{path}: {step} cannot be left out")
            continue
        if given is None or given is True:
            given = {}
        if not isinstance(given, dict):
            raise InputError(f"{path}: {step}: expected options such as {{{fields(cls)[0].name}: ...}}, or false")
        options[step] = _options(path, step, cls, given)
    return Plan(options, frozenset(content))


def _content(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected steps and their options, such as 'drift: {{method: comet}}'")
    return content


def _options(path: Any, step: str, cls: type[Options], given: dict[str, Any]) -> Options:
    known = described(cls)
    by_name = {name: name for name in known}
    by_name |= {one[2].flag.partition("/")[0].lstrip("-"): name for name, one in known.items() if one[2].flag}
    values = dict(_DEFAULTS.get(step, {}))
    for key, value in given.items():
        name = by_name.get(str(key))
        if name is None or name in _GIVEN_BY_RUN.get(step, ()):
            near = difflib.get_close_matches(str(key), by_name, 1)
            hint = f"; did you mean {near[0]!r}?" if near and name is None else ""
            raise InputError(f"{path}: {step} has no option {key!r} here{hint}")
        values[name] = _converted(path, step, str(key), known[name][0], value)
    try:
        return cls(**values)
    except InputError as error:
        raise InputError(f"{path}: {step}: {error}") from error
    except TypeError as error:
        raise InputError(f"{path}: {step}: an option has a value of the wrong kind ({error})") from error


def _converted(path: Any, step: str, key: str, kind: Any, value: Any) -> Any:
    """Return a value of YAML as the options class has it: lists as tuples, names as paths, whole numbers as floats."""
    kinds = [one for one in (get_args(kind) or (kind,)) if one is not type(None)]
    if get_origin(kind) is tuple or any(get_origin(one) is tuple for one in kinds):
        return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value
    if Path in kinds and isinstance(value, str):
        return Path(path).parent / value if path is not None else Path(value)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = tuple(one for one in kinds if isinstance(one, type))
    if (
        plain
        and value is not None
        and (not isinstance(value, plain) or (isinstance(value, bool) and bool not in plain))
    ):
        raise InputError(f"{path}: {step}: {key}: {value!r}: expected {' or '.join(one.__name__ for one in plain)}")
    return value
