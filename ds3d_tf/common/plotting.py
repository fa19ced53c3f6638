"""What all plots share: the colours of depth, figures without global state, and files that are written whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ds3d_tf.common.files import whole_file

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

# Bright at both ends, so that marks of every depth are seen on a dark or grey frame.
DEPTH_COLOUR_MAP = "cool"
IMAGE_COLOUR_MAP = "gray"


def new_figure(
    size_inches: tuple[float, float], layout: Literal["constrained", "compressed"] = "constrained"
) -> Figure:
    """Return an empty figure that leaves pyplot's global state and the user's backend alone.

    ``layout`` is "compressed" for panels of fixed aspect, such as images.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 130) -> None:
    """Write a figure as a PNG file, whole or not at all; raises InputError if the file cannot be written."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png")


def depth_colours(z_min_um: float, z_max_um: float) -> ScalarMappable:
    """Return the colours of z positions between two limits, µm above the coverslip, as tables count them: from 0."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(0, z_max_um - z_min_um), DEPTH_COLOUR_MAP)


def frame_extent_um(shape: tuple[int, ...], pixel_um: float) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top edge of a frame of ``shape`` (H, W), µm, for ``imshow``.

    As in tables, x = y = 0 is the frame's upper left corner.
    """
    height, width = shape
    return 0.0, width * pixel_um, height * pixel_um, 0.0


def depth_rings(axes: Any, places_um: Any, colours: ScalarMappable, size: float = 70, width: float = 1.4) -> None:
    """Draw rings coloured by depth, with a thin dark line around them, so that they are seen on white, too.

    Args:
        axes: in µm.
        places_um: float ``[K, 3]`` (x, y, z), µm, as in tables.
        colours: of :func:`depth_colours`.
        size: of a ring, points squared.
        width: of its line, points.
    """
    x, y, z = places_um[:, 0], places_um[:, 1], places_um[:, 2]
    axes.scatter(x, y, s=size, linewidths=width + 1.2, facecolors="none", edgecolors="black", alpha=0.6)
    axes.scatter(x, y, s=size, linewidths=width, facecolors="none", edgecolors=colours.to_rgba(z))


def scale_bar(axes: Any, width_um: float, height_um: float, per_um: float = 1.0) -> None:
    """Draw a bar of a round length of about a quarter of a picture.

    Args:
        axes: whose y axis points down.
        width_um: of the picture, µm.
        height_um: of the picture, µm.
        per_um: units of the axes in a µm: 1 for axes in µm, pixels a µm for axes in pixels.
    """
    lengths_um = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
    length = max([value for value in lengths_um if value <= width_um / 4], default=lengths_um[0])
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    start, place = left + 0.04 * (right - left), bottom + 0.05 * (top - bottom)
    from matplotlib.patheffects import withStroke

    bar = axes.plot([start, start + length * per_um], [place, place], color="white", lw=2.5, solid_capstyle="butt")[0]
    bar.set_path_effects([withStroke(foreground="black", linewidth=4)])
    text = axes.text(start, place + 0.02 * (top - bottom), f"{length:g} µm", color="white", fontsize=8, va="bottom")
    text.set_path_effects([withStroke(foreground="black", linewidth=2.5)])
    axes.set(xlim=(left, right), ylim=(bottom, top))
