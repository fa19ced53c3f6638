"""What a recording says of its own noise and of the error of the images, from a few of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import convolve

from ds3d_tf.common.errors import InputError
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.refinement.frames import explained_frame
from ds3d_tf.refinement.noise import CameraNoise, light_above_background
from ds3d_tf.refinement.options import DEFAULT_OPTIONS, RefineOptions
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.photon_transfer import PhotonTransfer, photon_transfer

# Frames of a pilot: some, but no more than so many pixels of them where that is enough.
MAX_FRAMES, MIN_FRAMES = 8, 2
_ENOUGH_PX = 200_000
_BLOCK_PX = 8
# The setup's noise is kept where the recording's is as large to this share.
_SAME_SHARE = 0.1
_LAPLACIAN = np.outer([1, -2, 1], [1, -2, 1]) / 6.0
_MIN_MODEL_ERROR, _MAX_MODEL_ERROR = 0.02, 0.5
_FEWEST_WINDOWS = 5


@dataclass(frozen=True, eq=False)
class Pilot:
    """Noise for a recording's refinement, and where it comes from.

    Attributes:
        noise: to refine with.
        ratio: the recording's variance over that which the setup lets expect (median), no unit.
        transfer: variance against mean of the recording's counts, or None if it could not be seen.
        is_setups: whether gain, offset and read noise are the setup's.
        frames: number of frames looked at.
        emitters: number of emitters found in them.
    """

    noise: CameraNoise
    ratio: float
    transfer: PhotonTransfer | None
    is_setups: bool
    frames: int
    emitters: int

    def summary(self) -> str:
        """Return what was found, in a line."""
        error = f"; model error {self.noise.model_error:.0%}" if self.noise.model_error else ""
        if self.is_setups:
            return f"noise: the setup's (the recording's variance is {self.ratio:.2f} of it){error}"
        offset, read = (float(np.mean(value)) for value in (self.noise.offset, self.noise.read_sigma))
        return (
            f"noise: from the recording, as its variance is {self.ratio:.2g} of the setup's: {self.noise.gain:.3g} "
            f"counts a photoelectron, offset {offset:.3g} counts, read noise {read:.3g} photoelectrons{error}"
        )

    def report(self) -> dict[str, Any]:
        """Return it as a dictionary for JSON."""

        def plain(value: Any) -> Any:
            return float(value) if np.ndim(value) == 0 else "map"

        noise = self.noise
        return {
            "source": "setup" if self.is_setups else "recording",
            "variance_over_setups": self.ratio,
            "counts_per_photoelectron": plain(noise.gain),
            "offset_counts": plain(noise.offset),
            "read_noise_photoelectrons": plain(noise.read_sigma),
            "excess": noise.excess,
            "model_error": noise.model_error,
            "frames": self.frames,
            "emitters": self.emitters,
        }


def pilot_indices(count: int, shape: tuple[int, int]) -> list[int]:
    """Return which of ``count`` frames of ``shape`` (H, W) pixels a pilot looks at: some, evenly spaced."""
    wanted = min(max(-(-_ENOUGH_PX // max(shape[0] * shape[1], 1)), MIN_FRAMES), MAX_FRAMES, count)
    return sorted({round(k) for k in np.linspace(0, count - 1, wanted)}) if count else []


def pilot(
    frames: Sequence[np.ndarray],
    setup: Setup,
    mask: np.ndarray | None = None,
    *,
    options: RefineOptions = DEFAULT_OPTIONS,
) -> Pilot:
    """Return the noise with which to refine a recording.

    The frames are explained from nothing. Of what is left, the variance in small blocks against their mean is the
    camera's photon transfer; what it does not explain where there is much light is the model's error. A camera that
    the setup describes is believed; otherwise the setup's noise is taken where it is as large as the recording's.

    Args:
        frames: float ``[H, W]`` each, raw counts.
        setup: optics, depth range, blur and noise.
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x); None: the setup's.
        options: rate of false alarms and effort.

    Raises InputError if the camera's maps do not fit the frames.
    """
    mask_rad = load_mask(setup) if mask is None else mask
    stack = [np.asarray(frame, np.float64) for frame in frames]
    noise = CameraNoise.from_setup(setup, (stack[0].shape[0], stack[0].shape[1]) if stack else None)
    if not stack:
        return Pilot(noise, 1.0, None, True, 0, 0)
    known = setup.camera is not None
    first = _law([_block_points(frame, _fine_structure(frame)) for frame in stack])
    law = noise if known else _chosen(noise, first, 1.0)[0]
    for _ in range(1 if known else 2):
        explained = [explained_frame(frame, setup, mask_rad, law, options) for frame in stack]
        points = [
            _block_points(frame, (frame - one.mean_counts) ** 2, one.mean_counts)
            for frame, one in zip(stack, explained, strict=True)
        ]
        ratio = _ratio(points, noise)
        transfer = _law(points)
        before = law
        if not known:
            law, is_setups = _chosen(noise, transfer, ratio)
            if np.isclose(law.gain, before.gain, rtol=0.1) and np.isclose(law.read_sigma, before.read_sigma, rtol=0.3):
                break
    error = _model_error(
        [
            (frame, (frame - one.mean_counts) ** 2, one.mean_counts, one.windows)
            for frame, one in zip(stack, explained, strict=True)
        ],
        law,
    )
    count = sum(len(one.windows) for one in explained)
    return Pilot(
        replace(law, model_error=error), ratio, transfer, known or is_setups, len(stack), count
    )


def _fine_structure(counts: np.ndarray) -> np.ndarray:
    """Return the squares of what varies from pixel to pixel, of which an image of an emitter has little: counts²."""
    return convolve(np.nan_to_num(counts), _LAPLACIAN, mode="nearest") ** 2


def _block_points(counts: np.ndarray, squares: np.ndarray, mean: np.ndarray | None = None) -> np.ndarray:
    """Return (mean, variance, pixels) of small blocks of a frame, float64 ``[3, K]``; counts, counts², no unit."""
    mean = counts if mean is None else mean
    rows, columns = (size // _BLOCK_PX for size in counts.shape)

    def blocks(values: np.ndarray) -> np.ndarray:
        cut = values[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
        return cut.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).mean(axis=(1, 3)).ravel()

    return np.stack([blocks(mean), blocks(squares), np.full(rows * columns, float(_BLOCK_PX**2))])


def _law(points: Sequence[np.ndarray]) -> PhotonTransfer | None:
    mean, variance, pixels = np.concatenate(points, axis=1)
    try:
        transfer = photon_transfer(mean, variance, pixels)
    except InputError:
        return None
    return transfer if transfer.is_light else None


def _ratio(points: Sequence[np.ndarray], noise: CameraNoise) -> float:
    """Return the median of the blocks' variance over that which a noise lets expect."""
    mean, variance, _ = np.concatenate(points, axis=1)
    gain, offset, read = (float(np.mean(value)) for value in (noise.gain, noise.offset, noise.read_sigma))
    expected = gain * noise.excess * np.maximum(mean - offset, 0) + (gain * read) ** 2
    return float(np.nanmedian(variance / np.maximum(expected, 1e-12)))


def _chosen(noise: CameraNoise, transfer: PhotonTransfer | None, ratio: float) -> tuple[CameraNoise, bool]:
    """Return the noise to take, and whether it is the setup's."""
    if abs(ratio - 1) <= _SAME_SHARE or transfer is None:
        return noise, True
    offset, read = transfer.offset_and_read_noise()
    gain = transfer.counts_per_photoelectron()
    return replace(noise, gain=_rounded(gain), offset=_rounded(offset), read_sigma=_rounded(read), excess=1.0), False


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _model_error(
    frames: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, Sequence[tuple[slice, slice]]]], noise: CameraNoise
) -> float:
    """Return the images' relative error, no unit; 0 if none is seen.

    For each emitter's window the least-squares estimate of ε² in residual² = variance + ε² light²; of those of the
    brighter half the median, as a missed emitter enlarges a few.
    """
    values, strength = [], []
    offset = np.asarray(noise.offset)
    for counts, squares, mean, windows in frames:
        valid = np.isfinite(counts) & (True if noise.valid is None else noise.valid)
        unit = np.asarray(noise.gain) * noise.excess
        variance = (np.maximum(mean - offset, 0) / unit + (np.asarray(noise.read_sigma) / noise.excess) ** 2) * unit**2
        variance = np.maximum(variance, 1e-6 * float(np.nanmax(variance)))
        light = light_above_background(np.nan_to_num(counts).astype(np.float32), valid)
        weight = np.where(valid, light**2 / variance**2, 0)
        for window in windows:
            total = float(np.sum((weight * light**2)[window]))
            if total > 0:
                values.append(float(np.sum((weight * np.nan_to_num(squares - variance))[window])) / total)
                strength.append(total)
    if len(values) < _FEWEST_WINDOWS:
        return 0.0
    bright = np.asarray(strength) >= np.median(strength)
    chosen = np.asarray(values)[bright]
    # 1.25 s / sqrt(n) is the standard deviation of a median.
    error = 1.25 * 1.4826 * float(np.median(np.abs(chosen - np.median(chosen)))) / np.sqrt(len(chosen))
    squared = float(np.median(chosen))
    if squared < max(2 * error, _MIN_MODEL_ERROR**2):
        return 0.0
    return _rounded(min(np.sqrt(squared), _MAX_MODEL_ERROR))
