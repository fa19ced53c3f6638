"""Pages `examples/*.md` of the site: the notebooks of `examples/`, as they were executed."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# On the site a link to another notebook leads to its page.
_LINK = re.compile(r"\]\((\w+)\.ipynb\)")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def notebook_page(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Return the page of a notebook and its pictures, by file name."""
    lines, pictures = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            lines += [_LINK.sub(r"](\1.md)", source), ""]
        elif source:
            lines += ["```python", source, "```", ""]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = "".join(output.get("text", data.get("text/plain", [])))
            if "image/png" in data:
                file = f"{name}_{len(pictures) + 1}.png"
                pictures[file] = base64.b64decode("".join(data["image/png"]))
                lines += [f"![Output of the cell above]({file})", ""]
            elif text.strip():
                lines += ["```text", _COLOURS.sub("", text).rstrip(), "```", ""]
    lines += [f"[Download this notebook]({name}.ipynb)", ""]
    return "\n".join(lines), pictures


def on_files(files: Files, config: Any) -> Files:
    """Make a page of each notebook, and add its pictures and the notebook itself."""
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        page, pictures = notebook_page(json.loads(text), path.stem)
        files.append(File.generated(config, f"examples/{path.stem}.md", content=page))
        files.append(File.generated(config, f"examples/{path.name}", content=text))
        for file, content in pictures.items():
            files.append(File.generated(config, f"examples/{file}", content=content))
    return files
