"""Pages `api/ROOM.md` of the site: the public names of every room, which mkdocstrings then documents."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).resolve().parents[2] / "ds3d_tf"
ROOMS = (
    "setup",
    "optics",
    "simulation",
    "model",
    "localization",
    "refinement",
    "evaluation",
    "calibration",
    "training",
    "export",
    "serving",
    "postprocessing",
    "benchmark",
)


def public_names(init: Path, package: str) -> dict[str, str]:
    """Return the names that a room's `__init__.py` hands on, each with its full path, in alphabetical order."""
    names = {}
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(package + "."):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        value = getattr(node, "value", None)
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(value, ast.Dict) and getattr(targets[0], "id", "").startswith("_HOMES"):
            for name, home in ast.literal_eval(value).items():
                full = home if home.startswith("ds3d_tf.") else f"{package}.{home}"
                names[name] = f"{full}.{name}"
    return {
        name: path for name, path in sorted(names.items()) if name != "lazy_names" and not path.endswith(".lazy_names")
    }


def room_page(room: str) -> str:
    """Return the page of one room."""
    init = PACKAGE / room / "__init__.py"
    summary = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    lines = [f"# `ds3d_tf.{room}`", "", summary, ""]
    for path in public_names(init, f"ds3d_tf.{room}").values():
        lines += [f"::: {path}", ""]
    return "\n".join(lines)


def jobs_page() -> str:
    """Return the page of the functions behind the commands."""
    lines = [
        "# `ds3d_tf.jobs`",
        "",
        "The functions behind the commands: `ds3d train` calls `ds3d_tf.jobs.train.train`. Each takes the command's",
        "options as arguments, writes the same files and returns its result.",
        "",
    ]
    for file in sorted((PACKAGE / "jobs").glob("[a-z]*.py")):
        lines += [f"::: ds3d_tf.jobs.{file.stem}.{file.stem}", ""]
    return "\n".join(lines)


def _rooms() -> list[str]:
    """Return the rooms that there are and that hand on names."""
    faces = {room: PACKAGE / room / "__init__.py" for room in ROOMS}
    return [room for room, init in faces.items() if init.is_file() and public_names(init, f"ds3d_tf.{room}")]


def on_config(config: Any) -> Any:
    """Add the pages to the navigation, under Reference."""
    pages = [{f"ds3d_tf.{room}": f"api/{room}.md"} for room in [*_rooms(), "jobs"]]
    for section in config.nav:
        if "Reference" in section:
            section["Reference"].insert(1, {"Python": pages})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Make the pages."""
    for room in _rooms():
        files.append(File.generated(config, f"api/{room}.md", content=room_page(room)))
    files.append(File.generated(config, "api/jobs.md", content=jobs_page()))
    return files
