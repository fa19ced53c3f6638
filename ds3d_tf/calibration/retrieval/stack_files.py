"""Bead stacks from files: a TIFF stack with each slice's focus position, checked before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from ds3d_tf.calibration.retrieval.stack import bead_centre_px
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.localization.frames.source import open_frames

FEWEST_SLICES = 5
SATURATED_PIXELS = 3
SMALLEST_SATURATION = 255
SMALLEST_CONTRAST = 6.0
LARGEST_OFFSET = 0.15


@dataclass(frozen=True, eq=False)
class BeadStack:
    """A bead's z-stack; S slices are left of those in the file.

    Attributes:
        slices: float32 ``[S, H, W]``, counts.
        nfp_um: float64 ``[S]``, nominal focus position, µm.
        numbers: int ``[S]``, each slice's number in the file, from 1, no unit.
        where: the file, for messages.
    """

    slices: np.ndarray
    nfp_um: np.ndarray
    numbers: np.ndarray
    where: str


def read_bead_stack(beads: str | Path, nfp: str | Path, skip: Sequence[int] = ()) -> BeadStack:
    """Read a bead stack and its focus positions, without the slices in ``skip`` (numbers from 1), and check them.

    Raises InputError for files that cannot be read, a stack and focus positions of different lengths, too few slices,
    saturated slices, a stack without a bead, or a bead too far from the centre.
    """
    frames = open_frames(beads)
    positions = read_focus_positions(nfp)
    if len(frames) != len(positions):
        raise InputError(
            f"{beads} has {len(frames)} slices but {nfp} has {len(positions)} focus positions; "
            "give one position for each slice, in the same order"
        )
    unknown = [number for number in skip if not 1 <= number <= len(frames)]
    if unknown:
        raise InputError(f"{argument('skip')} {unknown[0]}: slices are numbered from 1 to {len(frames)}")
    numbers = np.setdiff1d(np.arange(1, len(frames) + 1), np.asarray(skip, int))
    if len(numbers) < FEWEST_SLICES:
        raise InputError(f"{beads}: {len(numbers)} slices are left, at least {FEWEST_SLICES} are needed")
    stack = BeadStack(
        np.stack([frames.read(int(number) - 1) for number in numbers]), positions[numbers - 1], numbers, str(beads)
    )
    if np.ptp(stack.nfp_um) == 0:
        raise InputError(f"{nfp}: all focus positions are {stack.nfp_um[0]:g} µm; retrieval needs a stack over focus")
    check_bead_stack(stack)
    return stack


def read_focus_positions(path: str | Path) -> np.ndarray:
    """Read focus positions from a CSV: its column ``nfp_um``, or its only (else last) column.

    Returns:
        float64 ``[S]``, µm, in the file's order.

    Raises InputError if the file cannot be read or holds something else than finite numbers there.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, header=None, skipinitialspace=True, comment="#", dtype=str)
    except OSError as error:
        raise InputError(f"cannot read the focus positions {path}: {error.strerror or error}") from None
    except Exception:  # pandas raises many kinds of errors for what is no table
        raise InputError(f"focus positions {path}: expected a CSV with one position (µm) a slice") from None
    header = pd.to_numeric(table.iloc[0], errors="coerce").isna()
    column = table.columns[-1]
    if header.any():
        names = [str(name).strip().lower() for name in table.iloc[0]]
        column = names.index("nfp_um") if "nfp_um" in names else len(names) - 1
        table = table.iloc[1:]
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size or not len(values):
        line = int(bad[0]) + 1 + int(header.any()) if bad.size else 1
        raise InputError(f"focus positions {path}: line {line} holds no number of µm")
    return values


def check_bead_stack(stack: BeadStack) -> None:
    """Raise InputError, saying what to do, for saturated slices, a missing bead, or one far off centre."""
    brightest = stack.slices.max()
    clipped = (stack.slices == brightest).sum(axis=(1, 2))
    if brightest >= SMALLEST_SATURATION and clipped.max() >= SATURATED_PIXELS:
        slices = ",".join(str(number) for number in stack.numbers[clipped > 0])
        raise InputError(
            f"{stack.where}: {clipped.sum()} pixels are saturated at {brightest:g} counts in slices {slices}; "
            f"record the stack with less light, or ignore these slices: {argument('skip')} {slices}"
        )
    mean = stack.slices.mean(axis=0, dtype=np.float64)
    smooth = gaussian_filter(mean, 1.0)
    border = np.concatenate([smooth[:3].ravel(), smooth[-3:].ravel(), smooth[:, :3].ravel(), smooth[:, -3:].ravel()])
    noise = 1.4826 * np.median(np.abs(border - np.median(border)))
    contrast = (smooth.max() - np.median(border)) / max(noise, 1e-9)
    if contrast < SMALLEST_CONTRAST:
        raise InputError(
            f"{stack.where}: no bead found (the brightest spot of the mean slice is {contrast:.1f} × the noise, "
            f"expected at least {SMALLEST_CONTRAST:g}); crop the stack around one bright bead"
        )
    x, y = bead_centre_px(stack.slices)
    height, width = stack.slices.shape[1:]
    limit = LARGEST_OFFSET * min(height, width)
    if max(abs(x), abs(y)) > limit:
        raise InputError(
            f"{stack.where}: the bead lies {x:+.1f} columns and {y:+.1f} rows from the centre pixel, more than the "
            f"{limit:.0f} the model shifts; crop the stack around column {width // 2 + x:.0f}, "
            f"row {height // 2 + y:.0f}"
        )
