"""What a person sees at a terminal: messages, progress bars, exit codes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

INPUT_ERROR_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130


def messages() -> Console:
    """Return the console for messages to a person, on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextlib.contextmanager
def bars(unit: str = "frames") -> Iterator[Progress]:
    """Yield a progress callable that draws a bar on stderr for each task: count, rate in ``unit`` a second, time left.

    Nothing is drawn before its first call. What follows a comma in the name of a task may change from call to call.
    """
    drawn = progress(unit)
    tasks: dict[str, Any] = {}

    def show(task: str, done: int, total: int | None) -> None:
        name = task.partition(",")[0]
        if name not in tasks:
            if not tasks:
                drawn.start()
            # What was done before the first look is another run's, and says nothing about the rate.
            tasks[name] = drawn.add_task(task, total=total, completed=done)
        drawn.update(tasks[name], completed=done, total=total, description=task)

    failure: type[BaseException] | None = None
    try:
        yield show
    except BaseException as error:
        failure = type(error)
        raise
    finally:
        if tasks:
            drawn.__exit__(failure, None, None)


def progress(unit: str = "frames") -> Bars:
    """Return a progress bar on stderr: description, count, rate in ``unit`` a second, time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.3g} {unit}/s")

    class Bar(Progress):
        def __exit__(self, *failure: Any) -> None:
            # A bar that stopped half-way would stand above the one line that says why.
            if failure[0] is not None and issubclass(failure[0], InputError):
                self.live.transient = True
                self.console.quiet = not self.console.is_interactive
            super().__exit__(*failure)

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=messages(),
    )
