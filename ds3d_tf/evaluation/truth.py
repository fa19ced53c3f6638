"""True emitters of frames: from simulation or a table, and which of them should be found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.tables.tables import read_columns
from ds3d_tf.simulation.stream import SimulatedFrames

MAX_POSITION_UM = 1e5
REQUIRED_COLUMNS = ("frame", "x_um", "y_um", "z_um", "photons")


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """The emitters of one frame.

    Attributes:
        xyz_um: float64 ``[E, 3]`` (x, y, z), µm, x = y = 0 at the centre of pixel (H // 2, W // 2).
        photons: float64 ``[E]``, photons.
        labelled: bool ``[E]``, True for the emitters that should be found.
    """

    xyz_um: np.ndarray
    photons: np.ndarray
    labelled: np.ndarray

    @property
    def targets_um(self) -> np.ndarray:
        """The emitters that should be found: float64 ``[T, 3]`` (x, y, z), µm."""
        targets: np.ndarray = self.xyz_um[self.labelled]
        return targets


def bright_enough(photons: np.ndarray, label_threshold: float | None) -> np.ndarray:
    """Return which emitters of a frame should be found.

    As in the training labels of Nehme et al. 2020, emitters of ``label_threshold`` photons or fewer need not be,
    unless the frame has a single emitter.

    Args:
        photons: float ``[E]``, photons of all emitters of the frame.
        label_threshold: photons; None keeps all.

    Returns:
        bool ``[E]``, True for those that should be found.
    """
    if label_threshold is None or len(photons) == 1:
        return np.ones(len(photons), bool)
    return np.asarray(photons) > label_threshold


def read_truth(path: str | Path, frame_count: int, label_threshold: float | None) -> list[FrameTruth]:
    """Return the emitters of each frame from a table ``frame`` (from 1), ``x_um``, ``y_um``, ``z_um``, ``photons``.

    Raises:
        InputError: the file cannot be read, lacks a column, holds something that is not a number, or names a frame
            beyond ``frame_count``.
    """
    table = read_columns(path, REQUIRED_COLUMNS)
    frame = table["frame"].to_numpy()
    check_emitters(table, path)
    outside = frame[(frame < 1) | (frame > frame_count)]
    if len(outside):
        raise InputError(f"{path}: frame {outside[0]}, but the recording has frames 1 to {frame_count}")
    xyz_um, photons = table[list(REQUIRED_COLUMNS[1:4])].to_numpy(), table["photons"].to_numpy()
    frames = [(xyz_um[frame == number], photons[frame == number]) for number in range(1, frame_count + 1)]
    return [FrameTruth(*emitters, bright_enough(emitters[1], label_threshold)) for emitters in frames]


def check_emitters(table: pd.DataFrame, path: str | Path) -> None:
    """Raise InputError if an emitter lies where no microscope sees, or has fewer photons than 0."""
    for name in REQUIRED_COLUMNS[1:4]:
        far = np.flatnonzero(np.abs(table[name].to_numpy()) > MAX_POSITION_UM)
        if len(far):
            raise InputError(
                f"{path}: row {far[0] + 2}, column {name!r}: {table[name].iloc[far[0]]:g} µm, farther than any frame "
                f"reaches ({MAX_POSITION_UM:g}); positions are in µm"
            )
    dark = np.flatnonzero(table["photons"].to_numpy() < 0)
    if len(dark):
        raise InputError(
            f"{path}: row {dark[0] + 2}, column 'photons': {table['photons'].iloc[dark[0]]:g}; expected 0 or more"
        )


def simulated_truth(simulated: SimulatedFrames, label_threshold: float | None) -> list[FrameTruth]:
    """Return the emitters of each frame of ``SimulatedFrames`` (padding left out)."""
    return [
        FrameTruth(
            np.asarray(xyz[photons > 0], np.float64),
            np.asarray(photons[photons > 0], np.float64),
            bright_enough(photons[photons > 0], label_threshold),
        )
        for xyz, photons in zip(simulated.xyz_um, simulated.photons, strict=True)
    ]


def labelled_table(truths: list[FrameTruth]) -> pd.DataFrame:
    """Return emitters as a table: frame (from 1), x_um, y_um, z_um, photons, labelled (1: should be found, or 0)."""
    numbers = np.repeat(np.arange(1, len(truths) + 1), [len(truth.photons) for truth in truths])
    xyz_um = np.concatenate([np.zeros((0, 3)), *(truth.xyz_um for truth in truths)])
    photons = np.concatenate([np.zeros(0), *(truth.photons for truth in truths)])
    labelled = np.concatenate([np.zeros(0, bool), *(truth.labelled for truth in truths)]).astype(int)
    columns = [numbers, *xyz_um.T, photons, labelled]
    return pd.DataFrame(dict(zip((*REQUIRED_COLUMNS, "labelled"), columns, strict=True)))
