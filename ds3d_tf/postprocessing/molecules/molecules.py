"""Molecules: the one noun of everything after localization."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.postprocessing.molecules.columns import (
    FRAME,
    POSITION,
    POSITION_UNCERTAINTY,
    UNCERTAINTY,
    UNCERTAINTY_X,
    UNCERTAINTY_Y,
    UNCERTAINTY_Z,
    Z,
    who_gives,
)

if TYPE_CHECKING:
    import pandas as pd

MIN_PIXEL_NM, MAX_PIXEL_NM = 5.0, 5000.0


@dataclass(frozen=True, eq=False)
class Molecules:
    """Molecules of a recording, one row each.

    Attributes:
        table: ``frame`` (from 1), ``x [nm]``, ``y [nm]`` from the frame's upper left corner, ``z [nm]`` if it is
            three-dimensional, and whatever else is known of each molecule.
        source: the file it came from.
        pixel_nm: camera pixel, nm, if known.
        frame_shape: (H, W) of the recording, pixels, if known.
        frame_count: number of frames of the recording, if known.
        history: what was done, one line a step.
        incomplete: rows of the file that were left out, as they have no position.
    """

    table: pd.DataFrame
    source: str = ""
    pixel_nm: float | None = None
    frame_shape: tuple[int, int] | None = None
    frame_count: int | None = None
    history: tuple[str, ...] = ()
    incomplete: int = 0

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"<Molecules: {len(self)} from {self.source or 'memory'}>"

    @property
    def has_z(self) -> bool:
        """Whether the positions are three-dimensional."""
        return Z in self.table

    @property
    def frame(self) -> np.ndarray:
        """int64 ``[N]``: number of each molecule's frame, from 1; no unit."""
        return self.table[FRAME].to_numpy(np.int64)

    @property
    def frames(self) -> int:
        """Number of frames of the recording; up to the last molecule's if it is not known."""
        return max(int(self.table[FRAME].max()) if len(self) else 0, self.frame_count or 0)

    @property
    def xyz_nm(self) -> np.ndarray:
        """float64 ``[N, 3]`` (x, y, z), nm; z is 0 in two dimensions."""
        names = POSITION if self.has_z else POSITION[:2]
        positions = self.table[list(names)].to_numpy(np.float64)
        return positions if self.has_z else np.column_stack([positions, np.zeros(len(self))])

    @property
    def has_uncertainty(self) -> bool:
        """Whether each molecule says how certain its x and y are."""
        return UNCERTAINTY in self.table or {UNCERTAINTY_X, UNCERTAINTY_Y} <= set(self.table)

    def sigma_nm(self, command: str) -> np.ndarray:
        """Return float64 ``[N, 3]``: standard deviations of x, y and z, nm; NaN for a z that is not known.

        ``command`` is what needs them. Raises InputError if the table has no uncertainties.
        """
        lateral = [name if name in self.table else UNCERTAINTY for name in POSITION_UNCERTAINTY[:2]]
        for name in lateral:
            self.require(command, name)
        columns = [self.table[name].to_numpy(np.float64) for name in lateral]
        if self.has_z and UNCERTAINTY_Z in self.table:
            columns.append(self.table[UNCERTAINTY_Z].to_numpy(np.float64))
        else:
            columns.append(np.full(len(self), np.nan))
        sigma_nm = np.stack(columns, axis=1)
        bad = np.flatnonzero(~(sigma_nm[:, :2] > 0).all(axis=1))
        if len(bad):
            raise InputError(
                f"{self.source}: molecule {bad[0] + 1} has an uncertainty of {sigma_nm[bad[0], 0]:g} nm; expected more "
                f"than 0 (ds3d filter --keep 'uncertainty>0' removes {len(bad)} such rows)"
            )
        return sigma_nm

    def require(self, command: str, *columns: str) -> None:
        """Raise InputError if a column that ``command`` needs is missing; says which command gives it."""
        missing = [name for name in columns if name not in self.table]
        if missing:
            how = who_gives(missing[0])
            raise InputError(
                f"{self.source}: no column {missing[0]!r}, which 'ds3d {command}' needs" + (f"; {how}" if how else "")
            )

    def where(self, chosen: np.ndarray) -> Molecules:
        """Return some of the molecules.

        Args:
            chosen: bool ``[N]``, or int indices ``[K]`` (no unit).
        """
        table = self.table[chosen] if chosen.dtype == bool else self.table.iloc[chosen]
        return replace(self, table=table.reset_index(drop=True))

    def changed(self, table: pd.DataFrame, step: str) -> Molecules:
        """Return molecules with another table; ``step`` says what was done."""
        return replace(self, table=table, history=(*self.history, step))

    def moved(self, xyz_nm: np.ndarray, step: str) -> Molecules:
        """Return the molecules at other positions.

        Args:
            xyz_nm: float ``[N, 3]`` (x, y, z), nm; z is left out in two dimensions.
            step: what was done.
        """
        names = POSITION if self.has_z else POSITION[:2]
        columns = {name: np.asarray(xyz_nm)[:, axis] for axis, name in enumerate(names)}
        return self.changed(self.table.assign(**columns), step)

    def save(self, path: str | Path) -> None:
        """Write them as .csv, .parquet, .hdf5 (Picasso) or .smlm, whole or not at all; raises InputError."""
        from ds3d_tf.postprocessing.molecules.writing import write_molecules

        write_molecules(self, path)


def check_pixel(pixel_nm: float, where: str) -> float:
    """Return a camera pixel in nm; raises InputError, naming ``where`` it stands, if it cannot be one."""
    if not MIN_PIXEL_NM <= pixel_nm <= MAX_PIXEL_NM:
        hint = "; is it in µm?" if MIN_PIXEL_NM <= pixel_nm * 1000 <= MAX_PIXEL_NM else ""
        raise InputError(
            f"{where}: a camera pixel of {pixel_nm:g} nm; expected {MIN_PIXEL_NM:g} to {MAX_PIXEL_NM:g} nm{hint}"
        )
    return float(pixel_nm)


def known_pixel_nm(molecules: Molecules, command: str) -> float:
    """Return the camera pixel, nm; raises InputError if the table does not say it."""
    if molecules.pixel_nm is None:
        raise InputError(
            f"{molecules.source}: does not say how large a camera pixel is, which {command} needs; "
            f"give it with {argument('camera_pixel_nm')}"
        )
    return molecules.pixel_nm


def check_one_recording(molecules: Molecules, command: str) -> None:
    """Raise InputError if the frames of an otherwise sorted table start again: two recordings in one table."""
    steps = np.diff(molecules.frame)
    back = np.flatnonzero(steps < 0)
    if 0 < len(back) <= 10 and len(molecules) > 100 * len(back) and -steps[back].max() > 1:
        row = int(back[0]) + 1
        raise InputError(
            f"{molecules.source}: frames start again at molecule {row + 1} (frame {molecules.frame[row]} after "
            f"{molecules.frame[row - 1]}); 'ds3d {command}' takes one recording, so split the table, or sort it by "
            "frame if it is one"
        )
