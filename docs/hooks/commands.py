"""Replaces `<!-- commands -->` on a page by every command of the program `ds3d` with its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

MARKER = "<!-- commands -->"


def _plain(text: str) -> str:
    """Return help text as one line of Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def _row(parameter: Any) -> str:
    """Return one option as a row of a table: its names, its meaning with its choices, its default."""
    from ds3d_tf.common.options import choices

    option, default = parameter.option, parameter.default
    name = f"`{option.flag or option.metavar or parameter.name.upper()}`"
    values = [f"`{value}`" for value in choices(parameter.kind) if value is not None]
    meaning = _plain(option.help) + (f" One of {', '.join(values)}." if values else "")
    if default is inspect.Parameter.empty:
        return f"| {name} | {meaning} (required) | |"
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f"| {name} | {meaning} | {f'`{shown}`' if str(shown) not in ('', 'None', 'False') else ''} |"


def _section(function: Callable[..., None]) -> list[str]:
    """Return the section of one command: its help and a table of its options."""
    from ds3d_tf.cli.options import parameters

    paragraphs = [_plain(part) for part in (inspect.getdoc(function) or "").split("\n\n")]
    lines = [
        f"### `ds3d {function.__name__.replace('_', '-')}`",
        "",
        *[line for part in paragraphs for line in (part, "")],
    ]
    lines += ["| option | meaning | default |", "|---|---|---|"]
    return [*lines, *[_row(parameter) for parameter in parameters(function)], ""]


def command_sections() -> str:
    """Return a section for every command, in the groups of `ds3d --help`."""
    from ds3d_tf.cli.app import PANELS

    lines = []
    for panel, functions in PANELS.items():
        lines += [f"## {panel}", "", *[line for function in functions for line in _section(function)]]
    return "\n".join(lines)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the commands where a page asks for them."""
    return markdown.replace(MARKER, command_sections()) if MARKER in markdown else markdown
