"""A short recording that is stored with a model, and the model's localizations in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from ds3d_tf.common.file_names import LOCALIZATIONS_FILE, TRUTH_FILE
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.localization.tables.tables import write_table
from ds3d_tf.simulation.dataset import TRUTH_FORMAT, truth_table
from ds3d_tf.simulation.stream import simulate_frames

FRAMES_TIFF, FRAMES_NUMPY = "frames.tif", "frames.npy"
_MAX_INTEGER = np.iinfo(np.uint16).max


def write_sample(
    folder: str | Path,
    localizer: Localizer,
    frames: Sequence[np.ndarray] | None = None,
    *,
    count: int = 10,
    seed: int = 0,
) -> None:
    """Write frames as TIFF and as ``.npy`` (for programs with NumPy only), with the table of localizations.

    Args:
        folder: folder to write into; made if it does not exist.
        localizer: the model.
        frames: float32 ``[H, W]`` (row, column) each, raw counts; None: simulated ones, with their truth.
        count: number of simulated frames.
        seed: random seed of the simulation.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if frames is None:
        simulated = simulate_frames(localizer.setup, count, seed)
        frames = list(simulated.frames)
        table = truth_table(simulated, localizer.setup)
        table.to_csv(folder / TRUTH_FILE, index=False, float_format=TRUTH_FORMAT, lineterminator="\n")
    stack = np.stack([np.asarray(frame, np.float32) for frame in frames])
    if stack.min() >= 0 and stack.max() <= _MAX_INTEGER:
        stack = np.rint(stack).astype(np.uint16)
    tifffile.imwrite(folder / FRAMES_TIFF, stack, photometric="minisblack")
    np.save(folder / FRAMES_NUMPY, stack)
    if localizer.context_frames > 1:
        found = localizer.rows(stack.astype(np.float32))
    else:
        found = [localizer.rows(frame[np.newaxis].astype(np.float32))[0] for frame in stack]
    localizations = Localizations.from_rows(found, stack.shape[1:], localizer.setup)
    write_table(folder / LOCALIZATIONS_FILE, localizations.to_dataframe())
