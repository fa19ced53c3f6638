"""Which position and which channel of a recording are meant, where it holds several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ds3d_tf.common.errors import InputError, argument

Axis = Literal["position", "channel"]
MAX_NAMED = 12
# What programs call the axes, in lower case.
POSITION_AXES = frozenset(("p", "r", "m", "pos", "position", "positions", "scene", "scenes", "field", "fov", "series"))
CHANNEL_AXES = frozenset(("c", "ch", "channel", "channels"))


@dataclass(frozen=True)
class Choice:
    """The position and the channel that are asked for: a name, or a number from 1; None: the only one there is."""

    position: str | None = None
    channel: str | None = None

    def index(self, axis: Axis, where: str, names: Sequence[str]) -> int:
        """Return the index (from 0) of the chosen position or channel.

        Args:
            axis: "position" or "channel".
            where: the recording, for messages.
            names: of all there are, in order; an empty name is unknown.

        Raises InputError that lists them if there is no such one, or there are several and none is chosen.
        """
        wanted = self.position if axis == "position" else self.channel
        if wanted is None:
            if len(names) > 1:
                raise InputError(
                    f"{where}: holds {len(names)} {axis}s ({_listed(names)}); choose one with {argument(axis)}"
                )
            return 0
        same = [index for index, name in enumerate(names) if name and name.lower() == wanted.strip().lower()]
        if same:
            return same[0]
        if wanted.strip().isdigit() and 1 <= int(wanted) <= len(names):
            return int(wanted) - 1
        there = f"there are {_listed(names)}" if len(names) > 1 else f"there is one ({names[0] or 'number 1'})"
        raise InputError(f"{argument(axis)} {wanted}: {where} has no such {axis}; {there}")

    def only(self, position: bool, channel: bool, where: str) -> None:
        """Raise InputError if another position or channel than the only one, which has no name, is asked for.

        Args:
            position: whether the recording has but one position.
            channel: whether it has but one channel.
            where: the recording, for messages.
        """
        if position:
            self.index("position", where, [""])
        if channel:
            self.index("channel", where, [""])


def is_channel(axis: str) -> bool:
    """Return whether an axis of this name counts channels."""
    return axis.lower() in CHANNEL_AXES


def is_position(axis: str) -> bool:
    """Return whether an axis of this name counts positions of the stage."""
    return axis.lower() in POSITION_AXES


def _listed(names: Sequence[str]) -> str:
    shown = [f"{number}: {name}" if name else str(number) for number, name in enumerate(names[:MAX_NAMED], 1)]
    return ", ".join(shown) + (", …" if len(names) > MAX_NAMED else "")
