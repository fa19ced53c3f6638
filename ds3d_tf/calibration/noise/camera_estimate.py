"""The camera of a recording: its gain from the noise of the pixels without emitters, and frames in photons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ds3d_tf.calibration.noise.noise_estimate import NoiseEstimate
from ds3d_tf.calibration.noise.recording_tiles import Tile
from ds3d_tf.setup.camera import Camera
from ds3d_tf.simulation.photon_transfer import FEWEST_POINTS, PhotonTransfer, photon_transfer

# Bad pixels take the median of the good ones this near.
_NEIGHBOURHOOD_PX = 2
# A known camera whose noise rises this much more or less steeply than its gain says is not the recording's.
_LARGEST_MISFIT = 0.2


@dataclass(frozen=True, eq=False)
class CameraEstimate:
    """The camera to describe a recording with.

    Attributes:
        camera: the setup's, or one found by the variance against the mean; None: counts are taken as photons.
        transfer: the line of variances against means; None: too few places to draw one.
        is_given: whether ``camera`` is the setup's.
        darker: the same line through the darker half of the places; None: too few. Noise of light gives equal slopes.
    """

    camera: Camera | None
    transfer: PhotonTransfer | None
    is_given: bool = False
    darker: PhotonTransfer | None = None

    def summary(self) -> str | None:
        """Return one line for a person; None where counts are taken as photons."""
        if self.camera is None or self.is_given or self.transfer is None:
            return None
        camera = self.camera
        gain = float(camera.counts_per_photoelectron)
        error = gain * self.transfer.slope_error / self.transfer.slope
        return (
            f"camera: {gain:.3g} ± {error:.2g} counts a photoelectron, offset {camera.offset_counts:.4g} counts, "
            f"read noise {camera.read_noise_photoelectrons:.2g} photoelectrons (variance against mean)"
        )

    def remarks(self, offset_known: bool) -> list[str]:
        """Return a sentence for each thing to look at."""
        if self.camera is None or self.transfer is None:
            return []
        if not self.is_given:
            found = []
            if self.darker is not None and self._is_bent(self.darker):
                found.append(
                    f"the variance rises by {self.darker.slope:.3g} with each count in the darker half of the places "
                    f"and by {self.transfer.slope:.3g} in all; the gain is no surer than that"
                )
            if offset_known:
                return found
            return [
                *found,
                "offset and read noise of the camera cannot be told apart by light alone; their sum describes the "
                "noise. Give the counts of a dark frame as the offset if you know them",
            ]
        if not self.transfer.is_light:
            return []
        typical = self.camera.typical()
        expected = float(typical.excess * typical.counts_per_photoelectron)
        if abs(self.transfer.slope / expected - 1) < _LARGEST_MISFIT:
            return []
        return [
            f"the variance rises by {self.transfer.slope:.3g} with each count, but by the setup's camera it should "
            f"rise by {expected:.3g}"
        ]

    def _is_bent(self, darker: PhotonTransfer) -> bool:
        assert self.transfer is not None
        error = np.hypot(darker.slope_error, self.transfer.slope_error)
        return abs(darker.slope - self.transfer.slope) > max(3 * error, 0.1 * self.transfer.slope)

    def report(self) -> dict[str, Any]:
        """Return its numbers, ready for YAML."""
        transfer, values = self.transfer, {}
        if transfer is not None:
            values["variance_against_mean"] = {
                "slope": round(transfer.slope, 4),
                "slope_error": round(transfer.slope_error, 4),
                "slope_of_the_darker_half": round(self.darker.slope, 4) if self.darker else None,
                "intercept": round(transfer.intercept, 3),
                "intercept_error": round(transfer.intercept_error, 3),
                "places": len(transfer.mean),
                "scatter": round(transfer.scatter, 3),
                "is_that_of_light": transfer.is_light,
            }
        if self.camera is not None and not self.is_given and transfer is not None:
            gain = float(self.camera.counts_per_photoelectron)
            values["camera"] = {
                "counts_per_photoelectron": round(gain, 4),
                "counts_per_photoelectron_error": round(gain * transfer.slope_error / transfer.slope, 4),
                "offset_counts": round(float(self.camera.offset_counts), 3),
                "read_noise_photoelectrons": round(float(self.camera.read_noise_photoelectrons), 4),
            }
        return values


def estimate_camera(
    noise: NoiseEstimate, given: Camera | None = None, offset_counts: float | None = None, em_gain: float = 1.0
) -> CameraEstimate:
    """Return the camera that the noise of a recording tells of.

    Where the variance equals the mean, or does not rise with it beyond doubt, counts are taken as photons.

    Args:
        noise: the estimate of the recording, in counts.
        given: the setup's camera, which is taken as it is.
        offset_counts: the offset if it is known, counts.
        em_gain: of the camera, no unit.
    """
    transfer = None
    if len(noise.block_means) >= FEWEST_POINTS and np.ptp(noise.block_means) > 0:
        transfer = photon_transfer(noise.block_means, noise.block_variances, noise.block_pixels)
    if given is not None:
        return CameraEstimate(given, transfer, is_given=True)
    asked = offset_counts is not None or em_gain > 1
    if transfer is None or not transfer.is_light or (noise.is_light and not asked):
        return CameraEstimate(None, transfer)
    offset, read_noise = transfer.offset_and_read_noise(offset_counts, em_gain)
    gain = transfer.counts_per_photoelectron(em_gain)
    camera = Camera(offset, gain / em_gain, read_noise * em_gain, em_gain=em_gain)
    return CameraEstimate(camera, transfer, darker=_darker_half(noise))


def _darker_half(noise: NoiseEstimate) -> PhotonTransfer | None:
    dark = noise.block_means <= np.median(noise.block_means)
    if np.count_nonzero(dark) < FEWEST_POINTS or not np.ptp(noise.block_means[dark]) > 0:
        return None
    return photon_transfer(noise.block_means[dark], noise.block_variances[dark], noise.block_pixels[dark])


def tiles_in_photons(tiles: Sequence[Tile], camera: Camera, frame_shape: tuple[int, int]) -> list[Tile]:
    """Return tiles with photons in place of counts; a bad pixel takes the median of its good neighbours.

    Args:
        tiles: of a recording, counts.
        camera: of the recording.
        frame_shape: (H, W) of its frames, pixels.

    Raises InputError if the camera's maps do not fit the frames.
    """
    camera = camera.for_frames(frame_shape)
    result = []
    for tile in tiles:
        height, width = tile.pixels.shape
        photons = camera.cropped(tile.row, tile.column, (height, width)).photons(tile.pixels)
        result.append(replace(tile, pixels=_filled(photons).astype(np.float32)))
    return result


def _filled(pixels: np.ndarray) -> np.ndarray:
    bad = np.isnan(pixels)
    if not bad.any():
        return pixels
    reach, filled = _NEIGHBOURHOOD_PX, pixels.copy()
    middle = float(np.nanmedian(pixels)) if not bad.all() else 0.0
    for row, column in zip(*np.nonzero(bad), strict=True):
        near = pixels[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
        near = near[~np.isnan(near)]
        filled[row, column] = np.median(near) if len(near) else middle
    return filled
