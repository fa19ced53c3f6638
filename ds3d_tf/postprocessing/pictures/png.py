"""Pictures to look at and to print: pixel for pixel, with a scale bar and a bar of the colours of depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.files import whole_file
from ds3d_tf.postprocessing.pictures.colours import depth_map_linear, to_display

if TYPE_CHECKING:
    from PIL import Image

_ROUND_LENGTHS = (1, 2, 5)
_GREY = "#b0b0b0"

Label = tuple[int, int, str]  # column and row of a panel's corner, and what it shows


def round_length(length: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is not larger; the unit is that of ``length``."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step * power for step in _ROUND_LENGTHS if step * power <= length * (1 + 1e-9)))


def length_text(length_nm: float) -> str:
    """Return a length of a scale bar as text, in nm or µm."""
    return f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"


def annotated(
    image: np.ndarray,
    pixel_nm: float,
    z_limits_nm: tuple[float, float] | None,
    labels: Sequence[Label] = (),
    panel_px: int | None = None,
) -> Image.Image:
    """Return a picture with its scale bar, its colours of depth and the names of its panels.

    Args:
        image: uint8 ``[rows, columns, 3]``, sRGB values.
        pixel_nm: pixel, nm.
        z_limits_nm: depths of the first and the last colour, nm; None: no colour bar.
        labels: (column, row, text) at the upper left corner of each panel, pixels.
        panel_px: columns of one panel, of which the scale bar is about a quarter; None: the whole picture's.
    """
    from PIL import Image, ImageDraw

    rows, columns = image.shape[:2]
    text_px = int(np.clip(min(rows, columns) // 40, 12, 60))
    font = _font(text_px)
    side = int(text_px * 6.5) if z_limits_nm is not None else 0
    below = int(text_px * 3.4) if rows < 14 * text_px or columns < 14 * text_px else int(text_px * 2.6)
    sheet = Image.new("RGB", (max(columns, 12 * text_px) + side, max(rows, 10 * text_px) + below))
    sheet.paste(Image.fromarray(image), (0, 0))
    draw = ImageDraw.Draw(sheet)
    bar_nm = round_length((panel_px or columns) * pixel_nm / 4)
    bar_px = max(1, round(bar_nm / pixel_nm))
    top = sheet.height - below + text_px // 2
    draw.rectangle((text_px, top, text_px + bar_px - 1, top + max(2, text_px // 4)), fill="white")
    draw.text((text_px, top + text_px // 2), length_text(bar_nm), fill="white", font=font)
    for left, upper, text in labels:
        draw.text((left + text_px // 2, upper + text_px // 3), text, fill=_GREY, font=font)
    if z_limits_nm is not None:
        _draw_depth_bar(sheet, draw, font, text_px, sheet.width - side, sheet.height - below, z_limits_nm)
    return sheet


def _font(text_px: int) -> Any:
    """Return a font that has Greek letters: matplotlib's own."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), text_px)


def _draw_depth_bar(
    sheet: Image.Image, draw: Any, font: Any, text_px: int, left: int, rows: int, z_limits_nm: tuple[float, float]
) -> None:
    from PIL import Image

    top = int(2.6 * text_px)
    height = min(rows - top - text_px, 22 * text_px)
    colours = np.rint(to_display(depth_map_linear()) * 255).astype(np.uint8)
    place = np.rint(np.linspace(255, 0, height)).astype(int)
    strip = np.repeat(colours[place][:, None], text_px, axis=1)
    sheet.paste(Image.fromarray(strip), (left + text_px, top))
    draw.text((left + text_px, text_px // 2), "z (nm)", fill="white", font=font)
    low, high = z_limits_nm
    for value in depth_ticks(low, high, max(2, height // (3 * text_px))):
        y = top + (high - value) / (high - low) * (height - 1)
        draw.line((left + 2 * text_px, y, left + 2 * text_px + text_px // 3, y), fill="white", width=1)
        draw.text((left + int(2.6 * text_px), y), f"{value:g}", fill="white", font=font, anchor="lm")


def depth_ticks(low_nm: float, high_nm: float, most: int) -> list[float]:
    """Return round depths between two limits, nm, about ``most`` of them."""
    step = round_length((high_nm - low_nm) / most) if most else high_nm - low_nm
    while (high_nm - low_nm) / step > most:
        step = round_length(step * 2.5)
    first = np.ceil(low_nm / step - 1e-9)
    return [float(k * step) for k in np.arange(first, np.floor(high_nm / step + 1e-9) + 1)]


def side_by_side(xy: np.ndarray, xz: np.ndarray, zy: np.ndarray, gap: int = 6) -> tuple[np.ndarray, list[Label]]:
    """Return three projections on one sheet and their labels: xy, zy on its right, xz (z upwards) below.

    Args:
        xy: uint8 ``[y, x, 3]``, sRGB values.
        xz: uint8 ``[z, x, 3]``, sRGB values.
        zy: uint8 ``[y, z, 3]``, sRGB values.
        gap: pixels between them.

    Returns:
        uint8 ``[rows, columns, 3]``, sRGB values; names of columns and rows.
    """
    rows, columns, depth = xy.shape[0], xy.shape[1], zy.shape[1]
    sheet = np.zeros((rows + gap + xz.shape[0], columns + gap + depth, 3), np.uint8)
    sheet[:, columns : columns + gap] = sheet[rows : rows + gap] = 40
    sheet[:rows, :columns] = xy
    sheet[:rows, columns + gap :] = zy
    sheet[rows + gap :, :columns] = xz[::-1]
    return sheet, [(0, 0, "xy"), (columns + gap, 0, "zy"), (0, rows + gap, "xz")]


def tiled(images: Sequence[np.ndarray], names: Sequence[str], gap: int = 4) -> tuple[np.ndarray, list[Label]]:
    """Return slices on one sheet in reading order, and their labels.

    Args:
        images: uint8 ``[rows, columns, 3]`` each, sRGB values.
        names: what each of them is.
        gap: pixels between them.

    Returns:
        uint8 ``[rows, columns, 3]``, sRGB values; the names with their places.
    """
    rows, columns = images[0].shape[:2]
    across = max(1, int(np.ceil(np.sqrt(len(images) * rows / columns))))
    down = -(-len(images) // across)
    sheet = np.zeros((down * (rows + gap) - gap, across * (columns + gap) - gap, 3), np.uint8)
    sheet[np.arange(sheet.shape[0]) % (rows + gap) >= rows] = 40
    sheet[:, np.arange(sheet.shape[1]) % (columns + gap) >= columns] = 40
    labels = []
    for index, (image, name) in enumerate(zip(images, names, strict=True)):
        top, left = index // across * (rows + gap), index % across * (columns + gap)
        sheet[top : top + rows, left : left + columns] = image
        labels.append((left, top, name))
    return sheet, labels


def write_png(path: str | Path, sheet: Image.Image, pixel_nm: float) -> None:
    """Write a picture, whole or not at all; the file says how many nm a pixel is. Raises InputError if it cannot."""
    from PIL.PngImagePlugin import PngInfo

    facts = PngInfo()
    facts.add_text("pixel_nm", f"{pixel_nm:g}")
    facts.add_text("Software", "ds3d-tf")
    with whole_file(path) as temporary:
        sheet.save(temporary, format="PNG", pnginfo=facts)
