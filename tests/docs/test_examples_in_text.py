"""What README and docs tell people to type: every command, option and name exists."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (Path(__file__).parents[2] / "docs").glob("*.md"))]


def _blocks(text: str, *languages: str) -> Iterator[str]:
    """Code blocks of these languages."""
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if language in languages:
            yield code


def _command_lines(text: str) -> Iterator[list[str]]:
    """Words after `ds3d`, of code blocks and of inline code."""
    lines = [line for code in _blocks(text, "bash", "") for line in code.replace("\\\n", " ").splitlines()]
    lines += [
        " ".join(code.split())
        for code in re.findall(r"`([^`]*\bds3d [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.S))
    ]
    for line in lines:
        for part in re.split(r"&&|;|\|", line):
            words = shlex.split(part.split(" #")[0], posix=True) if part.count("'") % 2 == 0 else part.split()
            if "ds3d" in words:
                yield words[words.index("ds3d") + 1 :]


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str, repository: Path) -> None:
    from ds3d_tf.cli.app import app

    program = typer.main.get_command(app)
    for words in _command_lines((repository / page).read_text(encoding="utf-8")):
        if not words or not re.fullmatch(r"[a-z][a-z-]+", words[0]):
            continue
        command = program.commands.get(words[0])  # type: ignore[attr-defined]
        assert command, f"{page}: no command ds3d {words[0]}"
        options = {name for param in command.params for name in [*param.opts, *param.secondary_opts]} | {"--help"}
        for word in words[1:]:
            if re.match(r"--?[a-z]", word):
                assert word.split("=")[0] in options, f"{page}: ds3d {words[0]} has no {word}"


@pytest.mark.parametrize("page", PAGES)
def test_names_exist(page: str, repository: Path) -> None:
    for code in _blocks((repository / page).read_text(encoding="utf-8"), "python"):
        aliases = {}
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ds3d_tf"):
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page}: {node.module} has no {alias.name}"
            if isinstance(node, ast.Import):
                aliases |= {a.asname: a.name for a in node.names if a.name.startswith("ds3d_tf") and a.asname}
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                module = importlib.import_module(aliases[node.value.id])
                assert hasattr(module, node.attr), f"{page}: {module.__name__} has no {node.attr}"


@pytest.mark.parametrize("page", PAGES)
def test_dotted_names_exist(page: str, repository: Path) -> None:
    """Names such as `ds3d_tf.optics.design.design` in the running text."""
    text = re.sub(r"```.*?```", "", (repository / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for dotted in set(re.findall(r"`(ds3d_tf(?:\.\w+)+)`", text)):
        assert _exists(dotted), f"{page}: there is no {dotted}"


def _exists(dotted: str) -> bool:
    """Return whether a name leads from the package through its rooms and files to something."""
    found: object = importlib.import_module("ds3d_tf")
    for part in dotted.split(".")[1:]:
        if not hasattr(found, part):
            name = f"{getattr(found, '__name__', '')}.{part}"
            if not hasattr(found, "__path__") or importlib.util.find_spec(name) is None:
                return False
            found = importlib.import_module(name)
        else:
            found = getattr(found, part)
    return True


def test_names_that_do_not_exist_are_found() -> None:
    assert _exists("ds3d_tf.optics.design.design")
    for dotted in ("ds3d_tf.optics.desing", "ds3d_tf.optics.design.nothing", "ds3d_tf.nothing.design"):
        assert not _exists(dotted)
