"""Errors that stand for a user's mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Private-use characters around the name of an argument, so that a command can write its option instead.
_BEGIN, _END = "\ue000", "\ue001"
_MARKED = re.compile(f"{_BEGIN}([a-z_0-9]+){_END}")


def argument(name: str) -> str:
    """Return the name of a function's argument, marked for the text of an :class:`InputError`."""
    return f"{_BEGIN}{name}{_END}"


class InputError(ValueError):
    """A user's mistake in one line: what is wrong, where, and how to mend it.

    Arguments that the text names are marked with :func:`argument`. ``str(error)`` shows their plain names;
    :meth:`for_command` shows the options of a command. Commands print it on stderr and exit with code 2.
    """

    @property
    def marked(self) -> str:
        """The text with its marks, to be part of another error's text."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return _MARKED.sub(r"\1", self.marked)

    def for_command(self, options: Mapping[str, str]) -> str:
        """Return the text with each marked argument as its option; ``options`` maps argument → option."""
        return _MARKED.sub(lambda match: options.get(match[1], "--" + match[1].replace("_", "-")), self.marked)


class ServerError(InputError):
    """A prediction server that cannot be used: it does not answer, or refuses."""
