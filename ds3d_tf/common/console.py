"""What all commands share: running, errors, `--set`, progress bars."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SetupOption = Annotated[str, typer.Option("--setup", help="A preset (quickstart, demo1 … demo5) or a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.FIELD=VALUE", help="Change one value of the setup; may be repeated."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]

INPUT_ERROR_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130


def command(function: Callable[..., None]) -> None:
    """Run a typed function as this process's command line.

    An InputError becomes one line on stderr and exit code 2, Ctrl-C exit code 130.
    """
    quiet_tensorflow()

    @functools.wraps(function)
    def guarded(*args: object, **kwargs: object) -> None:
        try:
            function(*args, **kwargs)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(INPUT_ERROR_EXIT_CODE) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED_EXIT_CODE) from None

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(guarded)
    app()


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Return the whole numbers of a comma-separated list; raises InputError, naming ``option``, for anything else."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{option} {text}: expected whole numbers with commas between, such as 3,4,17") from None


def messages() -> Console:
    """Return the console for messages to a person, on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def progress(unit: str = "frames") -> Progress:
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
