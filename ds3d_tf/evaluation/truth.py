"""True emitters of frames: from simulation or a table, and which of them should be found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.tables.tables import read_columns
from ds3d_tf.setup import Setup
from ds3d_tf.setup.coordinates import table_origin_um
from ds3d_tf.simulation.stream import SimulatedFrames

TABLE_COLUMNS = ("frame", "x [nm]", "y [nm]", "z [nm]", "photons")
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


def read_truth(
    path: str | Path,
    frame_count: int,
    label_threshold: float | None,
    frame_shape: tuple[int, int] | None = None,
    setup: Setup | None = None,
) -> list[FrameTruth]:
    """Return the emitters of each frame from a table ``frame`` (from 1), positions, ``photons``.

    Positions are ``x [nm]``, ``y [nm]``, ``z [nm]`` as in every table (see :mod:`ds3d_tf.setup.coordinates`), or
    ``x_um``, ``y_um``, ``z_um``, the package's own.

    Args:
        path: CSV file.
        frame_count: number of frames of the recording.
        label_threshold: see :func:`bright_enough`.
        frame_shape: ``(H, W)`` of the frames, pixels; needed for positions in nm.
        setup: the ``Setup`` of pixel size and depth range; needed for positions in nm.

    Raises:
        InputError: the file cannot be read, lacks a column, holds something that is not a number, names a frame
            beyond ``frame_count``, or its positions are in another unit.
    """
    former = not _has_column(path, TABLE_COLUMNS[1])
    names = REQUIRED_COLUMNS if former else TABLE_COLUMNS
    table = read_columns(path, names)
    frame = table["frame"].to_numpy()
    check_emitters(table[list(names)], path, 1.0 if former else 1000.0)
    outside = frame[(frame < 1) | (frame > frame_count)]
    if len(outside):
        raise InputError(f"{path}: frame {outside[0]}, but the recording has frames 1 to {frame_count}")
    positions, photons = table[list(names[1:4])].to_numpy(), table["photons"].to_numpy()
    if frame_shape is not None and setup is not None:
        origin_um = table_origin_um(frame_shape, setup)
        if former:
            _refuse_other_unit(path, positions + origin_um, frame_shape, setup, "µm", "nm", 1e-3)
        else:
            _refuse_other_unit(path, positions, frame_shape, setup, "nm", "µm", 1e3)
            positions = positions / 1000 - origin_um
    elif not former:
        raise ValueError("frame_shape, setup: needed for positions in nm")
    frames = [(positions[frame == number], photons[frame == number]) for number in range(1, frame_count + 1)]
    return [FrameTruth(*emitters, bright_enough(emitters[1], label_threshold)) for emitters in frames]


def _has_column(path: str | Path, name: str) -> bool:
    try:
        with open(path, "rb") as stream:
            head = stream.readline()
    except OSError:
        return False
    return name.encode() in head


def _refuse_other_unit(
    path: str | Path,
    from_corner: np.ndarray,
    frame_shape: tuple[int, int],
    setup: Setup,
    unit: str,
    likely: str,
    factor: float,
) -> None:
    """Refuse positions ``[E, 3]`` (from the frame's corner, in ``unit``) that fit the frame only in another unit."""
    side = max(frame_shape) * setup.optics.pixel_um * (1 if unit == "µm" else 1000)
    farthest = float(np.abs(from_corner[:, :2]).max(initial=0))
    if (factor < 1 and farthest > 50 * side) or (factor > 1 and len(from_corner) > 2 and 0 < farthest < side / 50):
        raise InputError(
            f"{path}: the emitters lie up to {farthest:.4g} {unit} from the frame's corner, and the frame has "
            f"{side:.4g} {unit}; the positions look like {likely}: multiply them by {factor:g}"
        )


def check_emitters(table: pd.DataFrame, path: str | Path, per_um: float = 1.0) -> None:
    """Raise InputError if an emitter lies where no microscope sees, or has fewer photons than 0.

    ``per_um`` is the number of units of the table's positions in a µm.
    """
    for name in table.columns[1:4]:
        far = np.flatnonzero(np.abs(table[name].to_numpy()) > MAX_POSITION_UM * per_um)
        if len(far):
            raise InputError(
                f"{path}: row {far[0] + 2}, column {name!r}: {table[name].iloc[far[0]]:g}, farther than any frame "
                f"reaches ({MAX_POSITION_UM * per_um:g}); positions are in {'µm' if per_um == 1 else 'nm'}"
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


def labelled_table(truths: list[FrameTruth], frame_shape: tuple[int, int], setup: Setup) -> pd.DataFrame:
    """Return emitters as a table: frame (from 1), x, y, z in nm, photons, labelled (1: should be found, or 0).

    Args:
        truths: emitters of each frame.
        frame_shape: ``(H, W)`` of the frames, pixels.
        setup: the ``Setup`` of pixel size and depth range.
    """
    numbers = np.repeat(np.arange(1, len(truths) + 1), [len(truth.photons) for truth in truths])
    xyz_um = np.concatenate([np.zeros((0, 3)), *(truth.xyz_um for truth in truths)])
    photons = np.concatenate([np.zeros(0), *(truth.photons for truth in truths)])
    labelled = np.concatenate([np.zeros(0, bool), *(truth.labelled for truth in truths)]).astype(int)
    columns = [numbers, *(1000 * (xyz_um + table_origin_um(frame_shape, setup))).T, photons, labelled]
    return pd.DataFrame(dict(zip((*TABLE_COLUMNS, "labelled"), columns, strict=True)))
