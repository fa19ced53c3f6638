"""What a recording says of its own noise and of the error of the images, from a few of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.signal import fftconvolve

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.refinement.frames import ExplainedFrame, explained_frame
from ds3d_tf.refinement.noise import CameraNoise, light_above_background, noise_kernel
from ds3d_tf.refinement.options import DEFAULT_OPTIONS, RefineOptions
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.photon_transfer import PhotonTransfer, photon_transfer

# Frames of a pilot: some, but no more than so many pixels of them where that is enough.
MAX_FRAMES, MIN_FRAMES = 8, 2
_ENOUGH_PX = 200_000
_BLOCK_PX = 8
# The setup's noise is kept where the recording's is as large to this share.
_SAME_SHARE = 0.1
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
    progress: Progress = no_progress,
) -> Pilot:
    """Return the noise with which to refine a recording.

    The optics passes no frequency above 2 NA / λ, so what a frame has beyond it is noise: its variance in small blocks
    against their mean is the camera's photon transfer. A camera that the setup describes is believed; otherwise the
    setup's noise is taken where it is as large as the recording's. Then the frames are explained from nothing; what is
    left beyond the noise where there is much light is the images' error.

    Args:
        frames: float ``[H, W]`` each, raw counts.
        setup: optics, depth range, blur and noise.
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x); None: the setup's.
        options: rate of false alarms and effort.
        progress: told how many frames are done.

    Raises InputError if the camera's maps do not fit the frames.
    """
    mask_rad = load_mask(setup) if mask is None else mask
    stack = [np.asarray(frame, np.float64) for frame in frames]
    noise = CameraNoise.from_setup(setup, (stack[0].shape[0], stack[0].shape[1]) if stack else None)
    if not stack:
        return Pilot(noise, 1.0, None, True, 0, 0)
    points = np.concatenate([_block_points(frame, setup) for frame in stack], axis=1)
    ratio = _ratio(points, noise)
    transfer = _law(points)
    is_setups = setup.camera is not None or transfer is None or abs(ratio - 1) <= _SAME_SHARE
    if not is_setups and transfer is not None:
        offset, read = transfer.offset_and_read_noise()
        gain = transfer.counts_per_photoelectron()
        noise = replace(noise, gain=_rounded(gain), offset=_rounded(offset), read_sigma=_rounded(read), excess=1.0)
    explained: list[ExplainedFrame] = []
    for frame in stack:
        progress("noise", len(explained), len(stack))
        explained.append(explained_frame(frame, setup, mask_rad, noise, options))
    progress("noise", len(stack), len(stack))
    error = _model_error(stack, explained, noise)
    count = sum(len(one.windows) for one in explained)
    return Pilot(replace(noise, model_error=error), ratio, transfer, is_setups, len(stack), count)


def _block_points(counts: np.ndarray, setup: Setup) -> np.ndarray:
    """Return (mean, variance, pixels) of small blocks of a frame, float64 ``[3, K]``; counts, counts², no unit."""
    kernel = noise_kernel(setup)
    valid = np.isfinite(counts)
    filtered = fftconvolve(
        np.where(valid, counts, float(np.median(counts[valid])) if valid.any() else 0), kernel, "same"
    )
    border = len(kernel) // 2
    # Blocks at the border or with a missing pixel are left out.
    inside = slice(border, -border), slice(border, -border)
    values = np.where(valid, counts, np.nan)[inside]
    squares = np.where(valid, filtered**2, np.nan)[inside]
    rows, columns = (size // _BLOCK_PX for size in values.shape)

    def blocks(part: np.ndarray) -> np.ndarray:
        cut = part[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
        return cut.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).mean(axis=(1, 3)).ravel()

    # The filtered noise of neighbouring pixels is alike: a block has fewer independent ones.
    alike = float(np.sum(fftconvolve(kernel, kernel[::-1, ::-1]) ** 2))
    return np.stack([blocks(values), blocks(squares), np.full(rows * columns, _BLOCK_PX**2 / alike)])


def _law(points: np.ndarray) -> PhotonTransfer | None:
    try:
        transfer = photon_transfer(*points)
    except InputError:
        return None
    return transfer if transfer.is_light else None


def _ratio(points: np.ndarray, noise: CameraNoise) -> float:
    """Return the blocks' variance over that which a noise lets expect, the median of many blocks' ratio."""
    mean, variance, pixels = points[:, np.isfinite(points).all(axis=0)]
    if not len(mean):
        return 1.0
    gain, offset, read = (float(np.mean(value)) for value in (noise.gain, noise.offset, noise.read_sigma))
    expected = gain * noise.excess * np.maximum(mean - offset, 0) + (gain * read) ** 2
    # The median of a variance of n pixels is below its mean (Wilson and Hilferty, PNAS 17, 684, 1931).
    below = (1 - 2 / (9 * pixels)) ** 3
    return float(np.median(variance / np.maximum(expected, 1e-12) / below))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _model_error(stack: Sequence[np.ndarray], explained: Sequence[ExplainedFrame], noise: CameraNoise) -> float:
    """Return the images' relative error, no unit; 0 if none is seen.

    For each emitter's window the least-squares estimate of ε² in residual² = variance + ε² light²; of those of the
    brighter half the median, as a missed emitter enlarges a few.
    """
    values, strength = [], []
    for counts, one in zip(stack, explained, strict=True):
        measured = noise.measured(counts)
        mean = ((one.mean_counts - noise.offset) / noise.gain / noise.excess).astype(np.float32)
        variance = measured.variance(mean)
        light = light_above_background(measured.data, measured.valid > 0)
        excess = (measured.data - mean) ** 2 - variance
        weight = measured.valid * light**2 / variance**2
        for window in one.windows:
            total = float(np.sum((weight * light**2)[window]))
            if total > 0:
                values.append(float(np.sum((weight * excess)[window])) / total)
                strength.append(total)
    if len(values) < _FEWEST_WINDOWS:
        return 0.0
    chosen = np.asarray(values)[np.asarray(strength) >= np.median(strength)]
    # 1.25 s / sqrt(n) is the standard deviation of a median.
    error = 1.25 * 1.4826 * float(np.median(np.abs(chosen - np.median(chosen)))) / np.sqrt(len(chosen))
    squared = float(np.median(chosen))
    if squared < max(2 * error, _MIN_MODEL_ERROR**2):
        return 0.0
    return _rounded(min(np.sqrt(squared), _MAX_MODEL_ERROR))
