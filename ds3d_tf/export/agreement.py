"""How closely an exported model agrees with the Keras model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.evaluation.matching import match
from ds3d_tf.export.folded_pixel_net import in_float32
from ds3d_tf.export.pixel_module import with_mirrored_ends
from ds3d_tf.localization.engines.network import engine_class
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.model.pixel_net import PixelNet
from ds3d_tf.setup import Setup

NEAR_NM = (0.5, 5.0)
SAME_UM = 0.1
_REPEATS = 3


@dataclass(frozen=True)
class Agreement:
    """Localizations and volumes of an exported model beside the Keras model's.

    ``within`` maps a distance, nm, to the share of localizations that have a partner within it; the share is taken of
    the model with more localizations. ``lost`` counts the Keras model's localizations without a partner within 100 nm,
    ``added`` the exported model's. ``largest_difference`` is the largest difference of the confidence in one voxel.
    Times are for ``timed_px`` rows and columns, measured in turns.
    """

    frames: int
    frame_px: tuple[int, int]
    localizations: int
    within: dict[str, float]
    lost: int
    added: int
    largest_shift_nm: float
    largest_difference: float
    scaling_factor: float
    seconds: float | None = None
    tensorflow_seconds: float | None = None
    timed_px: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)

    def share(self, distance_nm: float) -> float:
        """Return the share of localizations within a distance of ``NEAR_NM``, nm."""
        return self.within[f"{distance_nm:g} nm"]

    def facts(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """Return a few lines for a person."""
        near = ", ".join(f"{share:.2%} within {distance}" for distance, share in self.within.items())
        lines = [
            f"{self.localizations} localizations in {self.frames} frames of {self.frame_px[0]}×{self.frame_px[1]}: "
            f"{near}; {self.lost} lost, {self.added} added, largest shift {self.largest_shift_nm:.3g} nm",
            f"largest difference of a voxel's confidence: {self.largest_difference:.3g} of {self.scaling_factor:g}",
        ]
        if self.seconds is not None and self.tensorflow_seconds is not None and self.timed_px is not None:
            ratio = self.tensorflow_seconds / self.seconds
            lines.append(
                f"{self.timed_px[0]}×{self.timed_px[1]} pixels: {self.seconds:.3g} s, TensorFlow beside it "
                f"{self.tensorflow_seconds:.3g} s ({ratio:.2f} times as fast)"
            )
        return "\n".join(lines)


def keras_localizer(
    model: Any, setup: Setup, mask_rad: np.ndarray, memory_gb: float, receptive_radius_px: int | None = None
) -> Localizer:
    """Return a Localizer around a Keras model, the reference for all formats.

    Args:
        model: maps normalized frames float32 ``[B, H, W]`` to confidences float32 ``[B, 4H, 4W, D]``, or to the maps
            of a pixel network, ``[B, H, W, 10]``.
        setup: its ``Setup``.
        mask_rad: float64 ``[N, N]`` (row, column), phase mask, rad.
        memory_gb: memory, GB, within which frames are localized.
        receptive_radius_px: largest distance, in pixels, at which the model sees; None: the model's own property.
    """
    import tensorflow as tf

    section = setup.normalization
    context = setup.learning.context_frames
    if isinstance(model, PixelNet):
        # Formats compute in float32; a network trained in mixed precision is off by nanometres in its own.
        model = in_float32(model)

    def prediction(frames: tf.Tensor) -> tf.Tensor:
        if context > 1:
            longer = with_mirrored_ends(frames, context)
            frames = tf.stack([longer[:-2], longer[1:-1], longer[2:]], axis=-1)
        return model(frames, training=False)

    call = tf.function(
        prediction,
        input_signature=[tf.TensorSpec([None, None, None], tf.float32)],
        autograph=False,
    )

    def network(frames: np.ndarray, ranges: np.ndarray) -> Any:
        if section.kind == "factors":
            return call(tf.constant((frames - section.subtract) / section.divide))
        lowest, highest = ranges[:, 0, None, None], ranges[:, 1, None, None]
        width = np.where(highest > lowest, highest - lowest, np.float32(1))
        return call(tf.constant((frames - lowest) / width))

    receptive_radius_px = receptive_radius_px or getattr(model, "receptive_radius_px", None)
    engine = engine_class(setup)(network, setup, mask_rad, receptive_radius_px or 0, path="the Keras model")
    # Tiles need a known receptive field; without it, frames are localized whole.
    return Localizer(engine, memory_gb=memory_gb if receptive_radius_px else float("inf"))


def measure_agreement(
    reference: Localizer,
    exported: Localizer,
    frames: Sequence[np.ndarray],
    on_frame: Callable[[], None] | None = None,
) -> Agreement:
    """Return how well two models agree on some frames.

    Args:
        reference: the Keras model.
        exported: the same in another format.
        frames: float32 ``[H, W]`` (row, column) each, raw counts.
        on_frame: called after each frame.

    Raises InputError if the reference finds nothing in the frames.
    """
    expected, found, difference = [], [], 0.0
    for frame in frames:
        expected.append(reference.rows(frame[np.newaxis])[0][:, :3])
        found.append(exported.rows(frame[np.newaxis])[0][:, :3])
        part = _part(frame, exported)
        volumes = [np.asarray(localizer.volume(part[np.newaxis])) for localizer in (reference, exported)]
        if reference.is_pixel_network:
            volumes = [maps[..., :1] for maps in volumes]  # the probability
        difference = max(difference, float(np.abs(volumes[0] - volumes[1]).max()))
        if on_frame is not None:
            on_frame()
    total = sum(map(len, expected))
    if not total:
        raise InputError(
            f"the model finds no emitters in the {len(frames)} frames of the comparison; give other "
            f"{argument('frames')}, or more of them ({argument('check')})"
        )
    most = max(total, sum(map(len, found)))
    within = {f"{near:g} nm": _pairs(expected, found, near / 1000)[0] / most for near in NEAR_NM}
    same, shift_um = _pairs(expected, found, SAME_UM)
    height, width = np.shape(frames[0])
    return Agreement(
        frames=len(frames),
        frame_px=(height, width),
        localizations=total,
        within=within,
        lost=total - same,
        added=sum(map(len, found)) - same,
        largest_shift_nm=1000 * shift_um,
        largest_difference=difference,
        scaling_factor=reference.setup.learning.scaling_factor,
    )


def side_by_side(first: Callable[[], Any], second: Callable[[], Any], repeats: int = _REPEATS) -> tuple[float, float]:
    """Return the median times of two actions, seconds, taken in turns so that a busy machine slows both."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for action, taken in zip((first, second), times, strict=True):
            begin = time.perf_counter()
            action()
            if repeat:  # the first one warms up
                taken.append(time.perf_counter() - begin)
    return float(np.median(times[0])), float(np.median(times[1]))


def _part(frame: np.ndarray, localizer: Localizer) -> np.ndarray:
    """Return the middle of a frame, as large as the frames of the setup or the only size that the network takes."""
    volume = localizer.setup.volume
    size = localizer.engine.size_px or (
        max(volume.height_px, localizer.receptive_radius_px),
        max(volume.width_px, localizer.receptive_radius_px),
    )
    corner = [max(length - side, 0) // 2 for length, side in zip(frame.shape, size, strict=True)]
    return frame[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]


def _pairs(expected: Iterable[np.ndarray], found: Iterable[np.ndarray], tolerance_um: float) -> tuple[int, float]:
    """Return the number of partners within the tolerance, and the largest distance among them, µm."""
    number, largest = 0, 0.0
    for truth, other in zip(expected, found, strict=True):
        which = match(truth, other, tolerance_um)
        number += len(which[0])
        shift = np.linalg.norm(truth[which[0]] - other[which[1]], axis=1)
        largest = max(largest, float(shift.max(initial=0)))
    return number, largest
