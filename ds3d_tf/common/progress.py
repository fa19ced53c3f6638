"""How long work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the name of a task, how much of it is done, and how much there is (None: not known yet)."""

    def __call__(self, task: str, done: int, total: int | None) -> None:
        """Take note; may be called often."""


def no_progress(task: str, done: int, total: int | None) -> None:
    """Take no note: the default where nobody watches."""
