"""Replaces `<!-- commands -->` on a page by every command of the program `ds3d` with its options."""

from __future__ import annotations

import re
from typing import Any

import typer

MARKER = "<!-- commands -->"
_MARKUP = re.compile(r"\[/?(?:bold|dim|italic|link|green|yellow|red|cyan)[^\]]*\]")


def _plain(text: str) -> str:
    """Return help text as one line of Markdown."""
    return " ".join(_MARKUP.sub("", text.replace("\f", " ").replace("\\[", "[")).split()).replace("|", "\\|")


def _option_row(option: Any, context: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    choices = getattr(option.type, "choices", None)
    kind = " \\| ".join(f"`{getattr(choice, 'value', choice)}`" for choice in choices or [])
    default = option.get_default(context, call=False)
    default = getattr(default, "value", default)
    shown = "" if default in (None, (), [], False, "") or callable(default) else f"`{default}`"
    help_text = _plain(getattr(option, "help", None) or "")
    required = " (required)" if option.required else ""
    return f"| {names} | {help_text}{f' {kind}' if kind else ''}{required} | {shown} |"


def command_sections() -> str:
    """Return a section for every command: its help and a table of its options."""
    from ds3d_tf.cli.app import app

    program = typer.main.get_command(app) if isinstance(app, typer.Typer) else app
    context = program.make_context("ds3d", [], resilient_parsing=True)
    sections = []
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = type(context)(command, info_name=name, parent=context, resilient_parsing=True)
        paragraphs = [_plain(part) for part in (command.help or "").split("\n\n")]
        sections += [f"## `ds3d {name}`", "", *[line for part in paragraphs for line in (part, "")]]
        sections += ["| option | meaning | default |", "|---|---|---|"]
        sections += [_option_row(param, inner) for param in command.params if param.name != "help"]
        sections += [""]
    return "\n".join(sections)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the commands where a page asks for them."""
    return markdown.replace(MARKER, command_sections()) if MARKER in markdown else markdown
