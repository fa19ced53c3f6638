"""The job of `ds3d render`: a table of molecules in, a super-resolved picture out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import refuse_existing
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import RenderOptions

if TYPE_CHECKING:
    import numpy as np

    from ds3d_tf.postprocessing.molecules.molecules import Molecules
    from ds3d_tf.postprocessing.pictures.picture import Picture

PNG, TIFF, MOVIE = (".png",), (".tif", ".tiff"), (".gif", ".mp4")
MOST_SLICES = 500


@dataclass(frozen=True)
class RenderedPicture:
    """What was written: the number of molecules in it, its pixels (columns, rows), and how it was drawn."""

    picture: Path
    molecules: int
    size_px: tuple[int, int]
    pixel_nm: float
    mode: str

    def summary(self) -> str:
        """Return one line about the picture and its name."""
        columns, rows = self.size_px
        size = f"{columns}×{rows} pixels of {self.pixel_nm:g} nm, " if columns else ""
        return f"{self.molecules} molecules, {size}{self.mode}\npicture: {self.picture}"


@takes_options(RenderOptions)
def render(
    molecules: str | Path,
    out: str | Path,
    options: RenderOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> RenderedPicture:
    """Render molecules as a picture (PNG, or TIFF with its calibration) or as a turning movie (GIF, MP4).

    Args:
        molecules: table, in any form that ``read_molecules`` reads.
        out: .png, .tif, .gif or .mp4 file to write.
        options: see :class:`~ds3d_tf.options.RenderOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier picture.
        progress: told how many molecules are done.

    Raises InputError for a table, option or output that cannot be used.
    """
    out = refuse_existing(out, overwrite)
    suffix = out.suffix.lower()
    if suffix not in (*PNG, *TIFF, *MOVIE):
        raise InputError(f"{argument('out')} {out}: a picture's name ends in .png, .tif, .gif or .mp4")
    if options.view == "all" and (suffix not in PNG or options.slice_nm is not None):
        raise InputError(f"{argument('view')} all: one sheet of three projections is a .png, without slices")
    if suffix in MOVIE and (options.slice_nm is not None or options.view != "xy"):
        raise InputError(f"{out}: a turning movie has no {argument('view')} and no {argument('slice_nm')}")

    from ds3d_tf.postprocessing.molecules.columns import POSITION_UNCERTAINTY, UNCERTAINTY, Z
    from ds3d_tf.postprocessing.molecules.reading import read_molecules
    from ds3d_tf.postprocessing.pictures.movie import check_movie_name, write_movie
    from ds3d_tf.postprocessing.pictures.picture import depth_limits

    check_movie_name(out)
    table = read_molecules(molecules, [UNCERTAINTY, *POSITION_UNCERTAINTY], camera_pixel_nm=options.camera_pixel_nm)
    if suffix in MOVIE or options.view != "xy" or options.slice_nm is not None or options.colour == "depth":
        table.require("render", Z)
    sigma_nm = _sigma_nm(table, options, needs_z=options.view != "xy")
    mode = "histogram" if sigma_nm is None else "gaussian"
    coloured = options.colour == "depth" or (options.colour == "auto" and table.has_z)
    limits = depth_limits(table, options.z_range_nm) if coloured or suffix in MOVIE else None
    if suffix in MOVIE:
        assert limits is not None
        shown = write_movie(out, table, sigma_nm, limits, options.gamma, progress)
        return RenderedPicture(out, shown, (0, 0), options.pixel_nm, f"{mode}, turning")
    if options.view == "all":
        size = _sheet(table, out, options, sigma_nm, limits, progress)
    elif options.slice_nm is not None:
        size = _slices(table, out, options, sigma_nm, limits, progress)
    else:
        size = _one(table, out, options, sigma_nm, limits, progress)
    return RenderedPicture(out, len(table), size, options.pixel_nm, mode)


def _sigma_nm(table: Molecules, options: RenderOptions, *, needs_z: bool) -> np.ndarray | None:
    """Return the widths of the Gaussians, nm; None for a histogram."""
    import numpy as np

    if options.mode == "histogram" or (options.mode == "auto" and not table.has_uncertainty):
        return None
    sigma_nm = table.sigma_nm("render --mode gaussian")
    if needs_z and np.isnan(sigma_nm[:, 2]).any():
        if options.mode == "auto":
            return None
        table.require("render --mode gaussian", "uncertainty_z [nm]")
    return np.maximum(sigma_nm, max(options.min_sigma_nm, 0.05 * options.pixel_nm))


def _picture(
    table: Molecules,
    view: str,
    options: RenderOptions,
    sigma_nm: np.ndarray | None,
    limits: tuple[float, float] | None,
    progress: Progress,
) -> Picture:
    from ds3d_tf.postprocessing.pictures.picture import picture_window, render_picture

    window = picture_window(table, view, options.pixel_nm, sigma_nm)
    return render_picture(table, window, sigma_nm, limits, progress)


def _one(
    table: Molecules,
    out: Path,
    options: RenderOptions,
    sigma_nm: np.ndarray | None,
    limits: tuple[float, float] | None,
    progress: Progress,
) -> tuple[int, int]:
    from ds3d_tf.postprocessing.pictures.png import annotated, write_png
    from ds3d_tf.postprocessing.pictures.tiff import write_tiff

    picture = _picture(table, options.view, options, sigma_nm, limits, progress)
    rows, columns = picture.window.shape
    if out.suffix.lower() in PNG:
        image = picture.colours(options.brightest, options.gamma)
        if options.view == "xz":
            image = image[::-1]  # z upwards
        write_png(out, annotated(image, options.pixel_nm, limits), options.pixel_nm)
    else:
        counts = picture.counts if limits is None else picture.colours(options.brightest, options.gamma)
        write_tiff(out, counts, picture.window)
    return columns, rows


def _sheet(
    table: Molecules,
    out: Path,
    options: RenderOptions,
    sigma_nm: np.ndarray | None,
    limits: tuple[float, float] | None,
    progress: Progress,
) -> tuple[int, int]:
    from ds3d_tf.postprocessing.pictures.png import annotated, side_by_side, write_png

    pictures = {
        view: _picture(
            table,
            view,
            options,
            sigma_nm,
            limits,
            lambda task, done, total, view=view: progress(f"{task} {view}", done, total),  # type: ignore[misc]
        )
        for view in ("xy", "xz", "zy")
    }
    xy, xz, zy = (one.colours(options.brightest, options.gamma) for one in pictures.values())
    image = side_by_side(xy, xz, zy)
    write_png(out, annotated(image, options.pixel_nm, limits), options.pixel_nm)
    return image.shape[1], image.shape[0]


def _slices(
    table: Molecules,
    out: Path,
    options: RenderOptions,
    sigma_nm: np.ndarray | None,
    limits: tuple[float, float] | None,
    progress: Progress,
) -> tuple[int, int]:
    import numpy as np

    from ds3d_tf.postprocessing.pictures.colours import saturation_level
    from ds3d_tf.postprocessing.pictures.picture import picture_window, render_picture
    from ds3d_tf.postprocessing.pictures.png import annotated, tiled, write_png
    from ds3d_tf.postprocessing.pictures.tiff import write_tiff
    from ds3d_tf.postprocessing.pictures.window import check_size

    thickness_nm = float(options.slice_nm or 1)
    window = picture_window(table, options.view, options.pixel_nm, sigma_nm)
    depth_nm = table.xyz_nm[:, window.axes[2]]
    first = np.floor(depth_nm.min() / thickness_nm)
    which = (np.floor(depth_nm / thickness_nm) - first).astype(np.int64)
    count = int(which.max()) + 1
    if count > MOST_SLICES:
        raise InputError(f"{argument('slice_nm')} {thickness_nm:g}: {count} slices; choose thicker ones")
    check_size(window.shape[1] * count, window.shape[0], options.pixel_nm)
    pictures = []
    for index in range(count):
        inside = which == index
        part = replace(table, table=table.table[inside])
        pictures.append(render_picture(part, window, None if sigma_nm is None else sigma_nm[inside], limits))
        progress("slices", index + 1, count)
    level = options.brightest or saturation_level(np.stack([one.counts for one in pictures]))
    if out.suffix.lower() in PNG:
        image = tiled([one.colours(level, options.gamma) for one in pictures])
        caption = f"{count} slices of {thickness_nm:g} nm from z = {first * thickness_nm:g} nm"
        caption = caption.replace("z =", f"{'xyz'[window.axes[2]]} =")
        write_png(out, annotated(image, options.pixel_nm, limits, caption, window.shape[1]), options.pixel_nm)
    else:
        stack = [one.counts if limits is None else one.colours(level, options.gamma) for one in pictures]
        write_tiff(out, np.stack(stack), window, (float(first * thickness_nm), thickness_nm))
    return window.shape[1], window.shape[0]
