"""What all plots share: the colours of depth, figures without global state, and files that are written whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ds3d_tf.common.files import whole_file

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

DEPTH_COLOUR_MAP = "turbo"


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
    """Return the colours of z positions between two limits, µm, as plots and their colour bars take them."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(z_min_um, z_max_um), DEPTH_COLOUR_MAP)


def frame_extent_um(shape: tuple[int, ...], pixel_um: float) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top edge of a frame of ``shape`` (H, W), µm, for ``imshow``.

    x = y = 0 is the centre of pixel (H // 2, W // 2).
    """
    height, width = shape
    left, top = -(width // 2 + 0.5) * pixel_um, -(height // 2 + 0.5) * pixel_um
    return left, left + width * pixel_um, top + height * pixel_um, top
