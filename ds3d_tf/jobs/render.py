"""The job of `ds3d render`: a table of molecules in, a super-resolved picture out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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
    from ds3d_tf.postprocessing.pictures.png import Label
    from ds3d_tf.postprocessing.pictures.window import Window

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
    size = _Drawing(table, options, sigma_nm, limits, progress).write(out)
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


@dataclass(frozen=True, eq=False)
class _Drawing:
    """What is drawn, and how: ``sigma_nm`` None counts molecules, ``limits`` None draws without colours of depth."""

    table: Molecules
    options: RenderOptions
    sigma_nm: np.ndarray | None
    limits: tuple[float, float] | None
    progress: Progress

    def write(self, out: Path) -> tuple[int, int]:
        """Write the picture that the options ask for; return its pixels (columns, rows)."""
        if self.options.view == "all":
            return self._sheet(out)
        if self.options.slice_nm is not None:
            return self._slices(out, float(self.options.slice_nm))
        return self._one(out)

    def _window(self, view: str) -> Window:
        from ds3d_tf.postprocessing.pictures.picture import picture_window

        return picture_window(self.table, view, self.options.pixel_nm, self.sigma_nm)

    def _picture(self, view: str) -> Picture:
        from ds3d_tf.postprocessing.pictures.picture import render_picture

        def told(task: str, done: int, total: int | None) -> None:
            self.progress(f"{task} {view}", done, total)

        return render_picture(self.table, self._window(view), self.sigma_nm, self.limits, told)

    def _shown(self, picture: Picture, level: float | None = None) -> np.ndarray:
        """Return uint8 ``[rows, columns, 3]`` to look at."""
        return picture.colours(level or self.options.brightest, self.options.gamma)

    def _write_png(self, out: Path, image: np.ndarray, labels: Sequence[Label], panel_px: int | None = None) -> None:
        from ds3d_tf.postprocessing.pictures.png import annotated, write_png

        sheet = annotated(image, self.options.pixel_nm, self.limits, labels=labels, panel_px=panel_px)
        write_png(out, sheet, self.options.pixel_nm)

    def _one(self, out: Path) -> tuple[int, int]:
        from ds3d_tf.postprocessing.pictures.tiff import write_tiff

        picture = self._picture(self.options.view)
        rows, columns = picture.window.shape
        if out.suffix.lower() in PNG:
            image = self._shown(picture)
            upright = image[::-1] if self.options.view == "xz" else image  # z upwards
            self._write_png(out, upright, [] if self.options.view == "xy" else [(0, 0, self.options.view)])
        else:
            write_tiff(out, picture.counts if self.limits is None else self._shown(picture), picture.window)
        return columns, rows

    def _sheet(self, out: Path) -> tuple[int, int]:
        from ds3d_tf.postprocessing.pictures.png import side_by_side

        xy, xz, zy = (self._shown(self._picture(view)) for view in ("xy", "xz", "zy"))
        image, labels = side_by_side(xy, xz, zy)
        self._write_png(out, image, labels)
        return image.shape[1], image.shape[0]

    def _slices(self, out: Path, thickness_nm: float) -> tuple[int, int]:
        import numpy as np

        from ds3d_tf.postprocessing.pictures.colours import saturation_level
        from ds3d_tf.postprocessing.pictures.picture import render_picture
        from ds3d_tf.postprocessing.pictures.png import tiled
        from ds3d_tf.postprocessing.pictures.tiff import write_tiff
        from ds3d_tf.postprocessing.pictures.window import check_size

        window = self._window(self.options.view)
        depth_nm = self.table.xyz_nm[:, window.axes[2]]
        first = np.floor(depth_nm.min() / thickness_nm)
        which = (np.floor(depth_nm / thickness_nm) - first).astype(np.int64)
        count = int(which.max()) + 1
        if count > MOST_SLICES:
            raise InputError(f"{argument('slice_nm')} {thickness_nm:g}: {count} slices; choose thicker ones")
        check_size(window.shape[1], window.shape[0], self.options.pixel_nm, count)
        pictures = []
        for index in range(count):
            inside = which == index
            sigma_nm = None if self.sigma_nm is None else self.sigma_nm[inside]
            pictures.append(render_picture(self.table.where(inside), window, sigma_nm, self.limits))
            self.progress("slices", index + 1, count)
        level = self.options.brightest or saturation_level(np.stack([one.counts for one in pictures]))
        lowest_nm = float(first * thickness_nm)
        if out.suffix.lower() in PNG:
            axis = "xyz"[window.axes[2]]
            edges_nm = lowest_nm + thickness_nm * np.arange(count + 1)
            names = [f"{axis} {low:g} to {high:g} nm" for low, high in pairwise(edges_nm)]
            images = [self._shown(one, level) for one in pictures]
            upright = [one[::-1] for one in images] if self.options.view == "xz" else images
            image, labels = tiled(upright, names)
            self._write_png(out, image, labels, window.shape[1])
        else:
            stack = [one.counts if self.limits is None else self._shown(one, level) for one in pictures]
            write_tiff(out, np.stack(stack), window, (lowest_nm, thickness_nm))
        return window.shape[1], window.shape[0]
