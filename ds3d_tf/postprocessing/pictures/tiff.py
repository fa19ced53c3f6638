"""Pictures as TIFF with their scale and place, as Fiji reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.files import whole_file
from ds3d_tf.postprocessing.pictures.window import Window


def write_tiff(
    path: str | Path, image: np.ndarray, window: Window, slices_nm: tuple[float, float] | None = None
) -> None:
    """Write a picture, or a stack of slices, as TIFF with ImageJ's calibration in µm, whole or not at all.

    The edge of the first pixel is at ImageJ's origin; slices are ``slices_nm`` (lower edge of the first, thickness).

    Args:
        path: file to write.
        image: float32 ``[rows, columns]`` or ``[slice, rows, columns]`` (molecules per pixel), or uint8 with a
            last axis of three colours (sRGB values).
        window: where the picture is.
        slices_nm: lower edge of the first slice and thickness, nm.

    Raises InputError if the file cannot be written.
    """
    import tifffile

    rgb = image.dtype == np.uint8
    pixel_um = window.pixel_nm / 1000
    facts: dict[str, Any] = {
        "axes": ("Z" if slices_nm is not None else "") + "YX" + ("S" if rgb else ""),
        "unit": "um",
        "xorigin": -window.left_nm / window.pixel_nm,
        "yorigin": -window.top_nm / window.pixel_nm,
    }
    if slices_nm is not None:
        facts |= {"spacing": slices_nm[1] / 1000, "zorigin": -slices_nm[0] / slices_nm[1]}
    elif not rgb:
        facts |= {"min": 0.0, "max": float(max(image.max(), 1e-6))}
    with whole_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            image,
            imagej=True,
            photometric="rgb" if rgb else "minisblack",
            resolution=(1 / pixel_um, 1 / pixel_um),
            metadata=facts,
        )
