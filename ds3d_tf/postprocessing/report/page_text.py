"""The page itself: everything a report shows, as one HTML text without a link to anything outside."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.postprocessing.pictures.png import depth_ticks, length_text, round_length
from ds3d_tf.postprocessing.report.frames import FramePanel
from ds3d_tf.postprocessing.report.views import View, depth_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE = Path(__file__).parent / "page"
_PX_PER_INCH = 124  # two panels are as wide as the page
_VIEW_NAMES = {"xy": "x, y", "xz": "x, z", "zy": "z, y"}


@dataclass(frozen=True)
class PageContent:
    """What a page shows.

    Attributes:
        title: headline.
        lead: a line under it.
        numbers: (text, meaning) of the most important numbers.
        views: projections by name.
        z_limits_nm: depths of the first and last colour, nm; None in two dimensions.
        sample: points of the scatter; None: without it.
        frames: panels of frames.
        figures: (name, caption, figure).
        details: (headline, plain text) of what can be unfolded.
        history: what was done, one line a step.
        commands: the commands that made it, in order.
        versions: name → version.
    """

    title: str
    lead: str
    numbers: Sequence[tuple[str, str]]
    views: Mapping[str, View]
    z_limits_nm: tuple[float, float] | None
    sample: dict[str, Any] | None = None
    frames: Sequence[FramePanel] = ()
    figures: Sequence[tuple[str, str, Figure]] = ()
    details: Sequence[tuple[str, str]] = ()
    history: Sequence[str] = ()
    commands: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def make_page(content: PageContent) -> str:
    """Return a report as the text of one HTML file."""
    script, style = ((_PAGE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    parts = [_head(content), _picture(content)]
    if content.sample is not None:
        parts.append(_scatter(content.sample))
    if content.frames:
        parts.append(_frames(content.frames))
    if content.figures:
        parts.append("<h2>Quality</h2>" + "".join(_figure(*one) for one in content.figures))
    parts.append(_provenance(content))
    depth = None
    if content.z_limits_nm is not None:
        limits = list(content.z_limits_nm)
        depth = {"limits": limits, "ticks": depth_ticks(*content.z_limits_nm, 5), "colours": depth_colours()}
    views = {name: {"pixel_nm": view.pixel_nm} for name, view in content.views.items()}
    data = json.dumps({"views": views, "depth": depth, "sample": content.sample}).replace("</", "<\\/")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An empty icon keeps browsers from asking for one.
        '<link rel="icon" href="data:,">'
        f"<title>{html.escape(content.title)}</title><style>{style}</style></head>\n<body>"
        + "\n".join(parts)
        + f'\n<script type="application/json" id="data">{data}</script>\n<script>{script}</script></body></html>\n'
    )


def _head(content: PageContent) -> str:
    boxes = "".join(
        f"<div><b>{html.escape(text)}</b><span>{html.escape(meaning)}</span></div>" for text, meaning in content.numbers
    )
    title, lead = html.escape(content.title), html.escape(content.lead)
    return f'<h1>{title}</h1><p class="lead">{lead}</p><div class="numbers">{boxes}</div>'


def _picture(content: PageContent) -> str:
    buttons = "".join(
        f'<button data-view="{name}" aria-pressed="{str(name == "xy").lower()}">{_VIEW_NAMES[name]}</button>'
        for name in content.views
        if len(content.views) > 1
    )
    images = "".join(
        f'<img id="view-{name}" alt="" hidden src="data:image/png;base64,{view.png}">'
        for name, view in content.views.items()
    )
    buttons += '<button data-save="picture">Save as PNG</button>'
    view = next(iter(content.views.values()))
    note = f"Pixels of {view.pixel_nm:.3g} nm; {view.drawn}. "
    note += "Drag to move, turn the wheel to zoom, double-click to see all."
    return (
        f'<h2>Picture</h2><div class="bar">{buttons}<span class="note screen">{note}</span></div>'
        f'<canvas id="picture"></canvas>{images}'
    )


def _scatter(sample: dict[str, Any]) -> str:
    note = f"{sample['shown']} molecules. Drag to turn, turn the wheel to zoom, double-click to begin again."
    return (
        '<h2>Molecules in space</h2><div class="bar"><button data-save="scatter">Save as PNG</button>'
        f'<span class="note screen">{note}</span></div>'
        '<canvas id="scatter"></canvas>'
    )


def _frames(panels: Sequence[FramePanel]) -> str:
    blocks = []
    for panel in panels:
        columns, rows = panel.size_px
        bar_nm = round_length(columns * panel.pixel_nm / 4)
        left, low, thick = columns / 30, rows * (1 - 1 / 30), rows / 90
        reach = max(2.5, columns / 40)
        circles = "".join(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{reach:.1f}"/>' for x, y in panel.circles_px)
        mark = f'<svg viewBox="0 0 {columns} {rows}" fill="none" stroke="#ffb000" stroke-width="{reach / 6:.2f}">'
        bar = f'<rect x="{left:.2f}" y="{low - thick:.2f}" width="{bar_nm / panel.pixel_nm:.2f}" height="{thick:.2f}"/>'
        bar += (
            f'<text x="{left:.2f}" y="{low - 2.5 * thick:.2f}" font-size="{rows / 22:.2f}">{length_text(bar_nm)}</text>'
        )
        mark += f'{circles}<g fill="#fff" stroke="none">{bar}</g></svg>'
        image = f'<img class="pixels" alt="frame" src="data:image/png;base64,{panel.frame_png}">'
        caption = f"<figcaption>{html.escape(panel.title)}</figcaption>"
        parts = [f'<figure><div class="over">{image}{mark}</div>{caption}</figure>']
        if panel.residual_png:
            text = "frame minus the images of its molecules, same grey values"
            if panel.explained is not None:
                text += f"; they explain {panel.explained:.0%} of its variance"
            image = f'<img class="pixels" alt="residual" src="data:image/png;base64,{panel.residual_png}">'
            parts.append(f"<figure>{image}<figcaption>{text}</figcaption></figure>")
        blocks.append(f"<div>{''.join(parts)}</div>")
    return f'<h2>Frames and their molecules</h2><div class="frames">{"".join(blocks)}</div>'


def _figure(name: str, caption: str, figure: Figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, dpi=200, format="png")
    png = base64.b64encode(stream.getvalue()).decode("ascii")
    alt = html.escape(name)
    caption = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    width = f"{_PX_PER_INCH * figure.get_figwidth():.0f}"
    return f'<figure><img alt="{alt}" width="{width}" src="data:image/png;base64,{png}">{caption}</figure>'


def _provenance(content: PageContent) -> str:
    steps = "".join(f"<li>{html.escape(step)}</li>" for step in content.history)
    versions = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(version)}</td></tr>"
        for name, version in content.versions.items()
    )
    details = "".join(
        f"<details><summary>{html.escape(name)}</summary><pre>{html.escape(text)}</pre></details>"
        for name, text in content.details
    )
    made = f"<ol>{steps}</ol>" if steps else '<p class="note">The table does not say what was done before.</p>'
    if content.commands:
        commands = html.escape("\n".join(content.commands))
        made += f"<p>Commands</p><pre>{commands}</pre>"
    return f"<h2>How it was made</h2>{made}{details}<h2>Versions</h2><table>{versions}</table>"
