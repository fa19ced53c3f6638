"""Rules such as ``uncertainty_z<40`` and ``100<z<=900``."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.postprocessing.molecules.columns import recognize, short_names, who_gives
from ds3d_tf.postprocessing.molecules.molecules import Molecules

_COMPARE: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_SIGN = re.compile(r"(<=|>=|==|!=|<|>)")


@dataclass(frozen=True)
class Rule:
    """A rule: the name of a column as it was written, and the comparisons that a kept row fulfils."""

    text: str
    name: str
    comparisons: tuple[tuple[str, float], ...]


def parse_rule(text: str) -> Rule:
    """Return a rule from its text, such as ``photons>=1000`` or ``100<z<900``; raises InputError if it is none."""
    parts = [part.strip() for part in _SIGN.split(text)]
    if len(parts) == 3:
        if _number(parts[0]) is None and (value := _number(parts[2])) is not None:
            return Rule(text, parts[0], ((parts[1], value),))
        if _number(parts[2]) is None and (value := _number(parts[0])) is not None:
            return Rule(text, parts[2], ((_MIRRORED[parts[1]], value),))
    if len(parts) == 5 and parts[1][0] == parts[3][0] and parts[1][0] in "<>":
        low, high = _number(parts[0]), _number(parts[4])
        if low is not None and high is not None and _number(parts[2]) is None:
            return Rule(text, parts[2], ((_MIRRORED[parts[1]], low), (parts[3], high)))
    raise InputError(f"{argument('keep')} {text!r}: expected a rule such as 'uncertainty_z<40' or '100<z<900'")


def keep_by_rule(molecules: Molecules, rule: Rule) -> np.ndarray:
    """Return bool ``[N]``: True for rows that fulfil a rule; one without a number fulfils none.

    Raises InputError if the table has no such column; says which command gives it, or the nearest name.
    """
    names = short_names(list(molecules.table.columns))
    column = names.get(rule.name) or names.get(rule.name.lower())
    if column is None:
        how = who_gives(recognize(rule.name).name)
        near = difflib.get_close_matches(rule.name, [name for name in names if "[" not in name], 1)
        hint = how or (
            f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(molecules.table.columns)}"
        )
        raise InputError(f"{argument('keep')} {rule.text!r}: the table has no column {rule.name!r}; {hint}")
    values = molecules.table[column].to_numpy(np.float64)
    kept = np.isfinite(values)
    for sign, number in rule.comparisons:
        kept &= _COMPARE[sign](values, number)
    return kept


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
