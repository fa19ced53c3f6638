"""Data sets on disk: the one home of their files, written by `ds3d simulate` and read for training."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
import tifffile

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.texts import read_text
from ds3d_tf.optics.masks import load_mask, read_mask
from ds3d_tf.setup import Setup
from ds3d_tf.setup.coordinates import table_origin_um
from ds3d_tf.simulation.crops import random_crops
from ds3d_tf.simulation.normalization import normalize
from ds3d_tf.simulation.pixel_grid import electrons_per_photon
from ds3d_tf.simulation.scene_frames import scene_groups, write_scene
from ds3d_tf.simulation.scenes import Scene
from ds3d_tf.simulation.seeds import derived_seed, split_seed
from ds3d_tf.simulation.shares import WHOLE, Share
from ds3d_tf.simulation.stream import Renderer, SimulatedFrames, simulated_groups

FRAMES, TRUTH, SETUP, MASK = "frames.tif", "truth.csv", "setup.yaml", "mask.npy"
TRUTH_COLUMNS = ("frame", "x [nm]", "y [nm]", "z [nm]", "photons", "labelled")
# Earlier versions wrote the package's own coordinates.
FORMER_COLUMNS = ("frame", "x_um", "y_um", "z_um", "photons", "labelled")
TRUTH_FORMAT = "%.12g"  # keeps float32 positions exactly
# The first of these that holds all counts; those with a sign only for setups whose counts may be negative.
_PIXEL_TYPES = (np.uint16, np.int16, np.float32)


@dataclass(frozen=True, eq=False)
class StoredDataset:
    """A data set read from disk.

    Attributes:
        frames: uint16, int16 or float32 ``[F, H, W]``, raw counts; mapped from the file, read when used.
        emitters: float32 ``[F, E, 4]``: x, y, z in µm and 1 for labelled emitters, 0 for padding and emitters below
            the label threshold.
        photons: float32 ``[F, E]``, photons; 0 marks padding.
        setup: the ``Setup`` it was simulated with.
        mask_rad: float64 ``[N, N]`` (rows along y, columns along x), phase mask, rad.
    """

    frames: np.ndarray
    emitters: np.ndarray
    photons: np.ndarray
    setup: Setup
    mask_rad: np.ndarray


def write_dataset(
    folder: str | Path,
    setup: Setup,
    count: int,
    seed: int,
    emitter_count: int | None = None,
    *,
    renderer: Renderer | None = None,
    scene: Scene | None = None,
    on_frames: Callable[[int], None] = lambda done: None,
) -> SimulatedFrames:
    """Simulate frames into a folder: ``frames.tif``, ``truth.csv``, ``setup.yaml``, ``mask.npy``.

    Counts are rounded to 16-bit integers if all of them fit, and kept as 32-bit floats otherwise.

    Args:
        folder: an existing, empty folder.
        setup: the ``Setup``; the stored one names the stored mask and this seed.
        count: number of frames, at least 1.
        seed: seed of the frames.
        emitter_count: fixed number of emitters a frame, instead of the setup's.
        renderer: as in :func:`ds3d_tf.simulation.stream.training_dataset`.
        scene: what is in the frames, instead of the setup's random emitters; its files are written, too.
        on_frames: called with the number of frames written so far.

    Returns:
        The first frames as stored, at most one group.

    Raises InputError if the mask cannot be loaded.
    """
    folder = Path(folder)
    mask_rad = load_mask(setup)

    def groups() -> Iterator[SimulatedFrames]:
        if scene is not None:
            return scene_groups(setup, scene, seed, renderer=renderer)
        return simulated_groups(setup, count, seed, emitter_count, renderer=renderer)

    first, truth = _write_in_some_type(folder / FRAMES, groups, setup, on_frames)
    truth.to_csv(folder / TRUTH, index=False, float_format=TRUTH_FORMAT, lineterminator="\n")
    changes = {"training_set.seed": seed, "training_set.folder": None}
    setup.with_mask(mask_rad, MASK).replace(changes).save(folder / SETUP)
    if scene is not None:
        write_scene(folder, setup, scene)
    return first


def _write_in_some_type(
    path: Path, groups: Callable[[], Iterator[SimulatedFrames]], setup: Setup, on_frames: Callable[[int], None]
) -> tuple[SimulatedFrames, pd.DataFrame]:
    for kind in _PIXEL_TYPES:
        with contextlib.suppress(OverflowError):
            return _write_frames(path, groups(), setup, np.dtype(kind), on_frames)
    raise AssertionError("float32 holds all counts")


def _write_frames(
    path: Path, groups: Iterator[SimulatedFrames], setup: Setup, dtype: np.dtype, on_frames: Callable[[int], None]
) -> tuple[SimulatedFrames, pd.DataFrame]:
    """Write the frames and return the first group and the table of all emitters; OverflowError if they do not fit."""
    first, tables, done = None, [], 0
    with tifffile.TiffWriter(path) as tiff:
        for group in groups:
            frames = group.frames
            if dtype.kind in "ui":
                frames = np.rint(frames)
                if frames.max() > np.iinfo(dtype).max or frames.min() < np.iinfo(dtype).min:
                    raise OverflowError
            frames = frames.astype(dtype)
            for frame in frames:
                tiff.write(frame, contiguous=True, photometric="minisblack")
            tables.append(truth_table(group, setup, done + 1))
            done += len(frames)
            first = first or SimulatedFrames(frames, group.xyz_um, group.photons, group.labelled)
            on_frames(done)
    if first is None:
        raise ValueError("count: expected at least 1 frame, got 0")
    return first, pd.concat(tables, ignore_index=True)


def truth_table(simulated: SimulatedFrames, setup: Setup, first_number: int = 1) -> pd.DataFrame:
    """Return the emitters as a table: frame (from ``first_number``), x, y, z, photons, labelled (1 or 0).

    Positions are a table's, see :mod:`ds3d_tf.setup.coordinates`.
    """
    frame, place = np.nonzero(simulated.photons > 0)
    origin_um = table_origin_um(simulated.frames.shape[1:], setup)
    positions = 1000 * (simulated.xyz_um[frame, place].astype(np.float64) + origin_um)
    columns = [
        frame + first_number,
        *positions.T,
        simulated.photons[frame, place],
        simulated.labelled[frame, place].astype(int),
    ]
    return pd.DataFrame(dict(zip(TRUTH_COLUMNS, columns, strict=True)))


def load_dataset(folder: str | Path) -> StoredDataset:
    """Read a data set written by :func:`write_dataset`.

    Raises InputError if the folder is none, or a file is missing, damaged or does not fit the others.
    """
    folder = Path(folder)
    missing = [name for name in (FRAMES, TRUTH, SETUP, MASK) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} is not a data set of `ds3d simulate`: {', '.join(missing)} missing")
    setup = Setup.from_yaml(read_text(folder / SETUP, "setup"), where=str(folder / SETUP), base_folder=folder)
    frames = _read_frames(folder / FRAMES, setup)
    emitters, photons = _read_truth(folder / TRUTH, len(frames), setup)
    return StoredDataset(frames, emitters, photons, setup, read_mask(folder / MASK))


def _read_frames(path: Path, setup: Setup) -> np.ndarray:
    try:
        frames: np.ndarray = tifffile.memmap(path, mode="r")
    except Exception as error:  # tifffile has many kinds of errors for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as the frames of a data set: {reason}") from error
    frames = frames[None] if frames.ndim == 2 else frames
    wanted = (setup.volume.height_px, setup.volume.width_px)
    if frames.shape[1:] != wanted:
        raise InputError(f"{path}: expected frames of {wanted[0]}×{wanted[1]} pixels, got shape {frames.shape}")
    return frames


def _read_truth(path: Path, count: int, setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """Return the emitters ``[F, E, 4]`` and photons ``[F, E]`` of a table."""
    try:
        table = pd.read_csv(path)
        former = "x_um" in table.columns
        values = table[list(FORMER_COLUMNS if former else TRUTH_COLUMNS)].to_numpy(np.float64)
    except Exception as error:  # pandas raises many kinds of errors for what is no table
        raise InputError(f"{path}: expected a table with the columns {', '.join(TRUTH_COLUMNS)}") from error
    good = np.isfinite(values).all() and (np.abs(values) < 1e12).all()
    frame = values[:, 0].astype(int) - 1 if good else np.zeros(0, int)
    if not good or (len(frame) and (frame.min() < 0 or frame.max() >= count)):
        raise InputError(f"{path}: expected finite numbers and frames from 1 to {count}")
    if not former:
        shape = (setup.volume.height_px, setup.volume.width_px)
        values[:, 1:4] = values[:, 1:4] / 1000 - table_origin_um(shape, setup)
    order = np.argsort(frame, kind="stable")
    frame, values = frame[order], values[order]
    per_frame = np.bincount(frame, minlength=count)
    most = max(int(per_frame.max(initial=0)), 1)
    place = np.arange(len(frame)) - np.repeat(np.cumsum(per_frame) - per_frame, per_frame)
    emitters = np.zeros((count, most, 4), np.float32)
    photons = np.zeros((count, most), np.float32)
    emitters[frame, place] = values[:, [1, 2, 3, 5]]
    photons[frame, place] = values[:, 4]
    return emitters, photons


def split_frames(setup: Setup, stored_count: int, split: str) -> range:
    """Return the numbers, from 0, of a data set's frames that belong to a split.

    The last frames are for validation, as large a share as the setup's ``validation_count`` is of its frames.
    """
    counts = setup.training_set
    share = counts.validation_count / (counts.training_count + counts.validation_count)
    validation = min(max(round(stored_count * share), 1), stored_count - 1)
    if split == "validation":
        return range(stored_count - validation, stored_count)
    return range(stored_count - validation)


def stored_dataset(
    setup: Setup,
    folder: str | Path,
    split: str = "training",
    seed: int | None = None,
    *,
    first_frame: int = 0,
    limit: int | None = None,
    batch_size: int | None = None,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Return batches of a data set on disk, like :func:`ds3d_tf.simulation.stream.training_dataset`.

    Training frames come in a new random order in every epoch; frame ``first_frame`` counts through the epochs.

    Args:
        setup: the ``Setup`` to train with; frame size, depth range and pixel must be the data set's.
        folder: a data set of `ds3d simulate`.
        split: "training" or "validation" (see :func:`split_frames`).
        seed: seed of the order; the setup's if None.
        first_frame: number of the first frame.
        limit: number of frames; None goes on to the end of the first frame's epoch.
        batch_size: frames a batch; the setup's if None. The last batch may be smaller.
        share: part of every batch to return.

    Returns:
        tf.data.Dataset of (normalized frames float32 ``[B, H, W]``, no unit; emitters float32 ``[B, E, 4]``: x, y, z in
        µm and 1 for labelled emitters, 0 for padding and emitters below the label threshold; for the pixel network
        ``[B, E, 6]``, with photons in photoelectrons, and -1 for the background, which is not known).

    Raises InputError as :func:`load_dataset`, and if the data set has fewer than two frames or does not fit the setup.
    """
    stored = load_dataset(folder)
    _check_fit(setup, stored, folder)
    numbers = np.array(split_frames(setup, len(stored.frames), split))
    epoch = len(numbers)
    limit = epoch - first_frame % epoch if limit is None else limit
    batch_size = setup.learning.batch_size if batch_size is None else batch_size
    seed = setup.training_set.seed if seed is None else seed
    emitters = stored.emitters
    if setup.learning.network == "pixel":
        # The table does not hold the background.
        light = np.stack([electrons_per_photon(setup) * stored.photons, np.full_like(stored.photons, -1)], axis=-1)
        emitters = np.concatenate([emitters, light], axis=-1).astype(np.float32)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order, order_epoch = numbers, -1
        for begin in range(first_frame, first_frame + limit, batch_size):
            chosen = []
            whole = range(begin, min(begin + batch_size, first_frame + limit))
            for frame in whole[slice(*share.bounds(len(whole)))]:
                if split == "training" and frame // epoch != order_epoch:
                    order_epoch = frame // epoch
                    order = np.random.default_rng([seed, order_epoch]).permutation(numbers)
                chosen.append(order[frame % epoch])
            yield stored.frames[chosen].astype(np.float32), emitters[chosen]

    signature = (
        tf.TensorSpec([None, *stored.frames.shape[1:]], tf.float32),
        tf.TensorSpec([None, *emitters.shape[1:]], tf.float32),
    )
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    dataset = dataset.map(lambda frames, emitters: (normalize(frames, setup.normalization), emitters))
    side = setup.learning.crop_px
    if side is not None and split == "training":
        stream_seed, first_batch = split_seed(seed, split), first_frame // batch_size
        dataset = dataset.enumerate(first_batch).map(
            lambda number, batch: random_crops(
                batch[0], batch[1], side, setup.optics.pixel_um, derived_seed(stream_seed, number)
            )
        )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(math.ceil(limit / batch_size)))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _check_fit(setup: Setup, stored: StoredDataset, folder: str | Path) -> None:
    if len(stored.frames) < 2:
        raise InputError(f"{folder} has one frame; training and validation need at least one each")
    theirs = stored.setup
    for field in ("height_px", "width_px", "z_min_um", "z_max_um"):
        wanted, got = getattr(setup.volume, field), getattr(theirs.volume, field)
        if wanted != got:
            raise InputError(
                f"training_set.folder: {folder} was simulated with volume.{field}={got:g}, the setup says {wanted:g}; "
                f"use --set volume.{field}={got:g} or simulate it again"
            )
    if not math.isclose(setup.optics.pixel_um, theirs.optics.pixel_um, rel_tol=1e-6):
        raise InputError(
            f"training_set.folder: {folder} has pixels of {theirs.optics.pixel_um:g} µm in the sample, "
            f"the setup {setup.optics.pixel_um:g} µm; simulate it again"
        )
