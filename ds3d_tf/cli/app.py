"""The program ``ds3d``: one command a job, in the order in which a user needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ds3d_tf.cli import calibrate, learn, use
from ds3d_tf.cli.options import as_command, with_former_names
from ds3d_tf.common import console

PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Calibrate": calibrate.COMMANDS,
    "Learn": learn.COMMANDS,
    "Use": use.COMMANDS,
}
# Command → option's former name → its name.
_FORMER_NAMES: dict[str, dict[str, str]] = {
    "crlb": {"--heights": "--z-positions"},
    "design-mask": {"--heights": "--z-positions"},
    "export": {"--run": "--model"},
    "retrieve-mask": {"--model": "--optical-model"},
}


class _Commands(TyperGroup):
    """Takes ``retrieve_mask`` for ``retrieve-mask``, and says what is wrong with options in one line."""

    def main(self, *args: Any, **keywords: Any) -> Any:
        """Run the program; a wrong option is one line on stderr and exit code 2."""
        if not keywords.pop("standalone_mode", True):
            return super().main(*args, **keywords, standalone_mode=False)  # type: ignore[misc]
        try:
            code = super().main(*args, **keywords, standalone_mode=False)  # type: ignore[misc]
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()  # type: ignore[attr-defined]
                sys.exit(error.exit_code)  # type: ignore[attr-defined]
            context = getattr(error, "ctx", None)
            hint = f"; see '{context.command_path} --help'" if context is not None else ""
            print(f"error: {_one_line(error.format_message())}{hint}", file=sys.stderr)
            sys.exit(console.INPUT_ERROR_EXIT_CODE)
        sys.exit(code if isinstance(code, int) else 0)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, [args[0].replace("_", "-"), *args[1:]])


def _one_line(text: str) -> str:
    """Return a message of the option parser as one short line."""
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= 300 else f"{text[:297]}..."


def _version(wanted: bool) -> None:
    if wanted:
        from ds3d_tf import __version__

        typer.echo(f"ds3d {__version__}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """3D single-molecule localization microscopy with engineered point spread functions.

    Run 'ds3d COMMAND --help' for the options of a command.
    """


def _app() -> typer.Typer:
    program = typer.Typer(
        cls=_Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(_program)
    for panel, functions in PANELS.items():
        for function in functions:
            name = function.__name__.replace("_", "-")
            former = _FORMER_NAMES.get(name)
            program.command(name, cls=with_former_names(former) if former else TyperCommand, rich_help_panel=panel)(
                as_command(function)
            )
    return program


app = _app()


def run(command: str | None = None, arguments: Sequence[str] | None = None) -> None:
    """Run the program with this process's arguments, or one of its commands; ends the process.

    Args:
        command: name of the command; None: the first argument names it.
        arguments: what follows; None: the process's arguments.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    app(args=given if command is None else [command, *given], prog_name="ds3d")
