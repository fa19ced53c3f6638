"""One frame to be explained: its data, its optics, its priors, and sums of emitters' images on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ds3d_tf.refinement.background import (
    SplineBackground,
    cut_background,
    inner_splines,
    no_background,
    spline_background,
)
from ds3d_tf.refinement.images import ImageModel, LocalImages
from ds3d_tf.refinement.noise import MeasuredFrame

X, Y, Z, PHOTONS, BLUR = range(5)
PARAMETERS = ("x", "y", "z", "photons", "blur")
# A background may bend between knots by this share of its level before the penalty is felt.
_BENDING_SHARE = 0.8
# A narrow range of blurs, in pixels, is not worth fitting.
MIN_BLUR_RANGE_PX = 0.05
MAX_OUTSIDE_PX = 3.0
_ROOM_TO_MOVE_PX = 3


def fits_blur(blur_range_px: tuple[float, float]) -> bool:
    """Return whether a range of blurs (least and largest standard deviation, pixels) is wide enough to be fitted."""
    return blur_range_px[1] - blur_range_px[0] >= MIN_BLUR_RANGE_PX


@dataclass(frozen=True, eq=False)
class Scene:
    """A frame (or a part of one) with all that a fit of it needs.

    Attributes:
        frame: the measured frame, H rows and W columns.
        model: images of the emitters.
        centre_px: (row, column) of the pixel whose centre is x = y = 0.
        spline: the background's B-splines.
        blur_range_px: smallest and largest blur, camera pixels.
        fit_blur: whether each emitter's blur is fitted, with the range as its prior, or its middle taken.
        bending: standard deviation of the background's second differences, photoelectrons.
        outside: float32 ``[H, W]``, light of emitters not fitted here, photoelectrons a pixel.
        bend_pull: float64 ``[P Q]``, what coefficients held elsewhere add to the slope of the roughness,
            photoelectrons; None: nothing.
    """

    frame: MeasuredFrame
    model: ImageModel
    centre_px: tuple[int, int]
    spline: SplineBackground
    blur_range_px: tuple[float, float]
    fit_blur: bool
    bending: float
    outside: np.ndarray
    bend_pull: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W), pixels."""
        return self.frame.data.shape[0], self.frame.data.shape[1]

    @property
    def blur_px(self) -> float:
        """The middle of the range of blurs, camera pixels."""
        return sum(self.blur_range_px) / 2

    @property
    def stiffness(self) -> float:
        """Penalty on the background's roughness over the weight of a typical pixel, a power of 2, no unit."""
        used = self.frame.valid > 0
        seen = (self.frame.data + self.frame.extra_variance)[used]
        variance = max(float(np.median(seen)), 1.0) if seen.size else 1.0
        return float(2.0 ** round(np.log2(variance / self.bending**2)))

    @property
    def blur_sigma_px(self) -> float:
        """Standard deviation of the blur's prior, that of a uniform one over the range, camera pixels."""
        return (self.blur_range_px[1] - self.blur_range_px[0]) / np.sqrt(12)

    def limits(self) -> np.ndarray:
        """Return the smallest and largest value of an emitter's parameters: float64 ``[2, 5]``, in their units.

        Positions may lie a little outside the frame; blurs a little outside their range.
        """
        scale = 1 / self.model.core.pixels_per_um
        (height, width), (row, column) = self.shape, self.centre_px
        low_z, high_z = self.model.z_range_um
        low_blur, high_blur = self.blur_range_px
        return np.array(
            [
                [(-column - MAX_OUTSIDE_PX) * scale, (-row - MAX_OUTSIDE_PX) * scale, low_z, 0.0, 0.85 * low_blur],
                [
                    (width - 1 - column + MAX_OUTSIDE_PX) * scale,
                    (height - 1 - row + MAX_OUTSIDE_PX) * scale,
                    high_z,
                    np.inf,
                    1.15 * high_blur,
                ],
            ]
        )

    def windows(self, images: LocalImages, xyz_um: np.ndarray) -> list[tuple[slice, slice, slice, slice]]:
        """Return where each emitter's window meets the frame: rows and columns of the frame, then of the window.

        Args:
            images: the images whose windows are meant.
            xyz_um: float ``[E, 3]`` (x, y, z), µm.
        """
        height, width = self.shape
        size = images.window_px
        result = []
        for row, column in (images.corners(xyz_um) + np.array(self.centre_px)).tolist():
            top, bottom = min(max(row, 0), height), max(min(row + size, height), 0)
            left, right = min(max(column, 0), width), max(min(column + size, width), 0)
            top, left = min(top, bottom), min(left, right)
            result.append(
                (
                    slice(top, bottom),
                    slice(left, right),
                    slice(top - row, bottom - row),
                    slice(left - column, right - column),
                )
            )
        return result

    def surroundings(self, xyz_um: np.ndarray, more_px: int = 0) -> tuple[slice, slice]:
        """Return the rows and columns that the core windows of some emitters cover, and a little more, pixels.

        Args:
            xyz_um: float ``[E, 3]`` (x, y, z), µm; at least one.
            more_px: how many pixels more on all sides.
        """
        room = _ROOM_TO_MOVE_PX + more_px
        first = self.model.core.corners(xyz_um) + np.array(self.centre_px)
        low = np.clip(first.min(axis=0) - room, 0, np.array(self.shape) - 1)
        high = np.clip(first.max(axis=0) + self.model.core.window_px + room, low + 1, self.shape)
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))

    def part(self, rows: slice, columns: slice) -> Scene:
        """Return some rows and columns as a scene of their own, whose background is held."""
        frame = self.frame
        inside = (rows, columns)
        return replace(
            self,
            frame=MeasuredFrame(frame.data[inside], frame.extra_variance[inside], frame.valid[inside]),
            centre_px=(self.centre_px[0] - rows.start, self.centre_px[1] - columns.start),
            spline=no_background(rows.stop - rows.start, columns.stop - columns.start),
            outside=self.outside[inside],
        )

    def part_with_background(self, rows: slice, columns: slice, background: np.ndarray) -> tuple[Scene, np.ndarray]:
        """Return some rows and columns as a scene of their own, and which coefficients of the background it has.

        They are those of the B-splines that are 0 outside it; the others are held.

        Args:
            rows: rows, pixels.
            columns: columns, pixels.
            background: float64 ``[P Q]``, the whole scene's coefficients, photoelectrons a pixel.
        """
        inner = inner_splines(self.spline, rows, columns)
        chosen = np.arange(background.size).reshape(self.spline.shape)[inner].ravel()
        cut = cut_background(self.spline, rows, columns, inner)
        pull = self.spline.roughness[chosen] @ background - cut.roughness @ background[chosen]
        return replace(self.part(rows, columns), spline=cut, bend_pull=pull), chosen

    def light(self, images: LocalImages, emitters: np.ndarray) -> np.ndarray:
        """Return the sum of the emitters' images: float32 ``[H, W]``, photoelectrons.

        Args:
            images: the images to add up, core or wide.
            emitters: float64 ``[E, 5]`` (x, y, z in µm, photons, blur in pixels).
        """
        total = np.zeros(self.shape, np.float32)
        values = images.images(emitters[:, :3], emitters[:, BLUR])
        for image, photons, (rows, columns, inner_rows, inner_columns) in zip(
            values, emitters[:, PHOTONS].astype(np.float32), self.windows(images, emitters[:, :3]), strict=True
        ):
            total[rows, columns] += photons * image[inner_rows, inner_columns]
        return total


def make_scene(
    frame: MeasuredFrame,
    model: ImageModel,
    centre_px: tuple[int, int],
    blur_range_px: tuple[float, float],
    fit_blur: bool | None = None,
    outside: np.ndarray | None = None,
) -> Scene:
    """Return the scene of a frame.

    Args:
        frame: the measured frame.
        model: images of the emitters.
        centre_px: (row, column) of the pixel whose centre is x = y = 0.
        blur_range_px: smallest and largest blur, camera pixels.
        fit_blur: whether blurs are fitted; None: where their range is not narrow.
        outside: float32 ``[H, W]``, light of emitters not fitted here, photoelectrons a pixel; None: none.
    """
    height, width = frame.data.shape
    used = frame.data[frame.valid > 0]
    level = max(float(np.median(used)), 1.0) if used.size else 1.0
    if fit_blur is None:
        fit_blur = fits_blur(blur_range_px)
    return Scene(
        frame=frame,
        model=model,
        centre_px=centre_px,
        spline=spline_background(height, width),
        blur_range_px=blur_range_px,
        fit_blur=fit_blur,
        bending=_BENDING_SHARE * level + 1.0,
        outside=np.zeros((height, width), np.float32) if outside is None else outside,
    )
