"""The one exception that stands for a user's mistake."""

from __future__ import annotations


class InputError(ValueError):
    """A user's mistake, told in one line: what is wrong, where, and how to mend it.

    Commands print it on stderr and exit with code 2; it never shows a traceback.
    """


class ServerError(InputError):
    """A prediction server that cannot be used: it does not answer, or refuses."""
