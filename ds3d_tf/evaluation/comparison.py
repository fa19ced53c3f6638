"""True emitters and localizations of frames, matched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ds3d_tf.evaluation.matching import TOLERANCE_UM, match


@dataclass(frozen=True, eq=False)
class Comparison:
    """Emitters and localizations of some frames, matched.

    Attributes:
        truth_um: float64 ``[N, 3]`` (x, y, z), µm: emitters of all frames.
        found_um: float64 ``[M, 3]`` (x, y, z), µm: localizations of all frames.
        truth_frame: int64 ``[N]``, index of the frame of each emitter.
        found_frame: int64 ``[M]``, index of the frame of each localization.
        pairs: int64 ``[P, 2]``, indices into ``truth_um`` and ``found_um`` of each matched pair.
        emitter_number: int64 ``[F]``, number of emitters in each frame, those that need not be found included.
        tolerance_um: largest distance of a pair, µm.
    """

    truth_um: np.ndarray
    found_um: np.ndarray
    truth_frame: np.ndarray
    found_frame: np.ndarray
    pairs: np.ndarray
    emitter_number: np.ndarray
    tolerance_um: float

    @property
    def error_nm(self) -> np.ndarray:
        """Localization minus emitter of each pair: float64 ``[P, 3]`` (x, y, z), nm."""
        error: np.ndarray = (self.found_um[self.pairs[:, 1]] - self.truth_um[self.pairs[:, 0]]) * 1000
        return error


def compare(
    truth_um: Sequence[np.ndarray],
    found_um: Sequence[np.ndarray],
    emitter_number: Sequence[int] | None = None,
    tolerance_um: float = TOLERANCE_UM,
) -> Comparison:
    """Match the localizations of each frame to its emitters.

    Args:
        truth_um: for each frame float ``[N, 3]`` (x, y, z), µm: the emitters that should be found.
        found_um: for each frame float ``[M, 3]`` (x, y, z), µm.
        emitter_number: for each frame the number of all its emitters; None: of those that should be found.
        tolerance_um: pairs at this 3D distance or more do not count, µm.

    Raises ValueError if the numbers of frames differ.
    """
    if len(truth_um) != len(found_um):
        raise ValueError(f"found_um: expected {len(truth_um)} frames as in truth_um, got {len(found_um)}")
    truth = [np.asarray(frame, np.float64).reshape(-1, 3) for frame in truth_um]
    found = [np.asarray(frame, np.float64).reshape(-1, 3) for frame in found_um]
    pairs, truth_start, found_start = [np.zeros((0, 2), np.int64)], 0, 0
    for emitters, localizations in zip(truth, found, strict=True):
        which = match(emitters, localizations, tolerance_um)
        pairs.append(np.stack(which, axis=1) + np.array([truth_start, found_start]))
        truth_start, found_start = truth_start + len(emitters), found_start + len(localizations)
    numbers = [len(frame) for frame in truth] if emitter_number is None else emitter_number
    return Comparison(
        truth_um=np.concatenate([np.zeros((0, 3)), *truth]),
        found_um=np.concatenate([np.zeros((0, 3)), *found]),
        truth_frame=_frame_of(truth),
        found_frame=_frame_of(found),
        pairs=np.concatenate(pairs),
        emitter_number=np.asarray(numbers, np.int64),
        tolerance_um=tolerance_um,
    )


def _frame_of(positions: list[np.ndarray]) -> np.ndarray:
    return np.repeat(np.arange(len(positions)), [len(frame) for frame in positions])
