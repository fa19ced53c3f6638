"""From options classes to options of a command: every shared option once, and the translation argument → option."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, get_args, get_origin

import typer
from typer.core import TyperCommand

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.options import Option, Options, described
from ds3d_tf.options.shared import INPUT

if TYPE_CHECKING:
    from ds3d_tf.setup import Setup

OUTPUT, MODEL, SETUP = "Output", "Model", "Setup"

SetupName = Annotated[str, Option("--setup", "Preset (quickstart, demo1 to demo5, …) or YAML file.", SETUP)]
MaybeSetupName = Annotated[str | None, Option("--setup", "Preset (quickstart, demo1 to demo5, …) or YAML file.", SETUP)]
Overrides = Annotated[
    tuple[str, ...],
    Option("--set", "Change one value of the setup; may be repeated.", SETUP, "SECTION.FIELD=VALUE"),
]
ModelName = Annotated[
    str,
    Option(
        "--model",
        "Trained model: run folder, SavedModel, .tflite, .onnx or .xml file, or the name of a shipped model.",
        MODEL,
    ),
]
Frames = Annotated[
    str,
    Option("--frames", "Recording: TIFF, folder of TIFFs, Zarr, NumPy (.npy), or a glob in quotes.", INPUT),
]
Folder = Annotated[Path, Option("--out", "Folder to write.", OUTPUT)]
RunFolder = Annotated[Path, Option("--out", "Run folder to write.", OUTPUT)]
Table = Annotated[Path, Option("--out", "Table to write: .csv, .parquet, or .hdf5 (Picasso).", OUTPUT)]
Overwrite = Annotated[bool, Option("--overwrite", "Replace an earlier output of this command.", OUTPUT)]


class Result(Protocol):
    """What every job returns."""

    def summary(self) -> str:
        """Return the outcome as a few lines."""


def show(result: Result) -> None:
    """Print what a job returned, on stderr."""
    console.messages().print(result.summary(), soft_wrap=True, markup=False)


def setup_of(name: str, overrides: tuple[str, ...]) -> Setup:
    """Return the setup that ``--setup`` and ``--set`` ask for."""
    from ds3d_tf.setup import load_setup

    return load_setup(name, overrides)


@dataclass(frozen=True)
class Parameter:
    """One option of a command, and the argument of the Python function that it sets."""

    name: str
    kind: Any
    default: Any
    option: Option


def parameters(function: Callable[..., None]) -> Iterator[Parameter]:
    """Yield the options of a command's function; a parameter of an options class stands for all its fields."""
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and issubclass(kind, Options):
            for name, (field_kind, default, option) in described(kind).items():
                yield Parameter(name, field_kind, default, option)
        else:
            yield Parameter(parameter.name, *_split(kind, parameter.default))


def option_names(function: Callable[..., None]) -> dict[str, str]:
    """Return argument → option of a command, to put the right names into an error."""
    return {one.name: one.option.flag.partition("/")[0] or one.name.upper() for one in parameters(function)}


def as_command(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function with one plain parameter for each option, as Typer wants it, that calls ``function``.

    An InputError becomes one line on stderr and exit code 2, Ctrl-C exit code 130.
    """
    options = list(parameters(function))

    @functools.wraps(function)
    def command(**values: Any) -> None:
        try:
            function(**_grouped(function, {one.name: _converted(one, values[one.name]) for one in options}))
        except InputError as error:
            print(f"error: {error.for_command(option_names(function))}", file=sys.stderr)
            raise typer.Exit(console.INPUT_ERROR_EXIT_CODE) from None
        except (OSError, MemoryError) as error:
            print(f"error: {_machine_says(error)}", file=sys.stderr)
            raise typer.Exit(console.INPUT_ERROR_EXIT_CODE) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(console.INTERRUPTED_EXIT_CODE) from None

    command.__signature__ = inspect.Signature([_typer_parameter(one) for one in options])  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: _typer_annotation(one) for one in options}
    command.__doc__ = (inspect.getdoc(function) or "").replace("[", "\\[")
    del command.__wrapped__  # type: ignore[attr-defined]
    return command


def _machine_says(error: OSError | MemoryError) -> str:
    """Return one line for what the machine refused, wherever that was."""
    if isinstance(error, MemoryError):
        reason = str(error).splitlines()[0] if str(error) else "more was asked for than this machine has"
        return f"out of memory: {reason}; use smaller frames, batches or --memory"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{(error.strerror or str(error) or type(error).__name__).splitlines()[0].lower()}"


def with_former_names(former: dict[str, str]) -> type[TyperCommand]:
    """Return a kind of command that also takes options by their former names, which its help does not list."""

    class WithFormerNames(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            renamed = []
            for text in args:
                name, equals, value = text.partition("=")
                renamed.append(f"{former[name]}{equals}{value}" if name in former else text)
            return super().parse_args(ctx, renamed)

    return WithFormerNames


def _split(annotation: Any, default: Any) -> tuple[Any, Any, Option]:
    kind, option = get_args(annotation)
    return kind, default, option


def _grouped(function: Callable[..., None], values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command's function: the fields of an options class become its object."""
    arguments = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and issubclass(kind, Options):
            arguments[parameter.name] = kind(**{name: values[name] for name in described(kind)})
        else:
            arguments[parameter.name] = values[parameter.name]
    return arguments


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis


def _converted(one: Parameter, value: Any) -> Any:
    if one.option.numbers:
        return _numbers(one.option.flag, value)
    return tuple(value or ()) if _is_list(one.kind) else value


def _numbers(flag: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{flag} {text}: expected whole numbers with commas between, such as 3,4,17") from None


def _typer_annotation(one: Parameter) -> Any:
    option, kind = one.option, one.kind
    if option.numbers:
        kind = str
    elif _is_list(kind):
        kind = list[get_args(kind)[0]] | None  # type: ignore[misc]
    text = option.help.replace("[", "\\[")
    if not option.flag:
        return Annotated[kind, typer.Argument(help=text, metavar=option.metavar or None)]
    return Annotated[
        kind, typer.Option(option.flag, help=text, metavar=option.metavar or None, rich_help_panel=option.panel)
    ]


def _typer_parameter(one: Parameter) -> inspect.Parameter:
    default = one.default
    if one.option.numbers and default is not inspect.Parameter.empty:
        default = ",".join(map(str, default))
    elif _is_list(one.kind) and default is not inspect.Parameter.empty:
        default = None
    annotation = _typer_annotation(one)
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
