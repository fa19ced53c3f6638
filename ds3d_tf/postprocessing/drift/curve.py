"""A drift curve: where the sample is in each frame; its file, and its correction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.files import whole_file
from ds3d_tf.postprocessing.molecules.columns import FRAME, POSITION, recognize
from ds3d_tf.postprocessing.molecules.molecules import Molecules


@dataclass(frozen=True, eq=False)
class DriftCurve:
    """Where the sample is in each frame.

    Attributes:
        xyz_nm: float64 ``[F, 3]`` (x, y, z), displacement in frames 1 to F, nm; 0 in the first frame.
        method: how it was found.
        knots: float64 ``[K]``, frames at which it was measured; no unit.
        knots_nm: float64 ``[K, 3]``, what was measured there, nm.
    """

    xyz_nm: np.ndarray
    method: str
    knots: np.ndarray = field(default_factory=lambda: np.zeros(0))
    knots_nm: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

    def correct(self, molecules: Molecules) -> Molecules:
        """Return the molecules where they would be without drift; raises InputError for frames beyond the curve."""
        if len(molecules) and molecules.frame.max() > len(self.xyz_nm):
            raise InputError(
                f"{molecules.source}: has molecules in frame {molecules.frame.max()}; "
                f"the drift curve ends at frame {len(self.xyz_nm)}"
            )
        moved = molecules.xyz_nm - self.xyz_nm[molecules.frame - 1]
        return molecules.moved(moved, f"drift: {self.method}")


def curve_through(knots: np.ndarray, knots_nm: np.ndarray, frames: int, method: str) -> DriftCurve:
    """Return a smooth curve through measured displacements; its ends go on in a straight line.

    Args:
        knots: float ``[K]``, ascending frames, no unit; at least two.
        knots_nm: float ``[K, 3]`` (x, y, z), displacements there, nm.
        frames: F, number of frames of the recording.
        method: how they were found.
    """
    frame = np.arange(1, frames + 1, dtype=np.float64)
    inner = PchipInterpolator(knots, knots_nm, axis=0)(frame.clip(knots[0], knots[-1]))
    for end, other in ((0, 1), (-1, -2)):
        slope = (knots_nm[end] - knots_nm[other]) / (knots[end] - knots[other])
        beyond = frame < knots[0] if end == 0 else frame > knots[-1]
        inner[beyond] = knots_nm[end] + slope * (frame[beyond, None] - knots[end])
    return DriftCurve(inner - inner[0], method, knots, knots_nm - inner[0])


def write_drift(curve: DriftCurve, path: str | Path) -> None:
    """Write a curve as CSV (frame, x [nm], y [nm], z [nm]), whole or not at all; raises InputError if it cannot."""
    table = pd.DataFrame(curve.xyz_nm, columns=list(POSITION))
    table.insert(0, FRAME, np.arange(1, len(table) + 1))
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.3f", lineterminator="\n")


def read_drift(path: str | Path) -> DriftCurve:
    """Return the curve of a CSV file with the columns frame, x, y and, if it has one, z, in nm.

    Frames that the file leaves out are interpolated. Raises InputError if it cannot be read or used.
    """
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except ValueError as error:  # includes UnicodeDecodeError and pandas' own
        raise InputError(f"{path}: not a CSV table ({str(error).strip().splitlines()[0]})") from error
    columns = {str(name): recognize(str(name)) for name in table.columns}
    other = [name for name, one in columns.items() if one.name in POSITION and one.unit not in ("nm", "")]
    if other:
        raise InputError(f"{path}: column {other[0]!r} is not in nm")
    table.columns = [columns[str(name)].name for name in table.columns]
    missing = [name for name in (FRAME, *POSITION[:2]) if name not in table]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; a drift curve has frame, x [nm], y [nm], z [nm]")
    if POSITION[2] not in table:
        table[POSITION[2]] = 0.0
    numbers = table[[FRAME, *POSITION]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(bad):
        raise InputError(f"{path}: row {bad[0] + 2} holds something that is not a number")
    if not len(numbers) or (np.diff(numbers[:, 0]) <= 0).any() or numbers[0, 0] < 0:
        raise InputError(f"{path}: expected ascending frames, from 1")
    frame = numbers[:, 0] + (numbers[0, 0] == 0)
    whole = np.arange(1, int(frame[-1]) + 1)
    xyz = np.stack([np.interp(whole, frame, numbers[:, axis]) for axis in (1, 2, 3)], axis=1)
    return DriftCurve(xyz, f"curve {Path(path).name}")
