"""The job of `ds3d simulate`: a data set on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ds3d_tf.common.files import check_room
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import SimulateOptions
from ds3d_tf.setup import Setup
from ds3d_tf.setup.bounds import check_emitter_count

if TYPE_CHECKING:
    from ds3d_tf.simulation.scenes import Scene


@dataclass(frozen=True)
class SimulatedDataset:
    """What was written: numbers of frames and emitters, and the pixel type ("uint16", "int16" or "float32")."""

    folder: Path
    frames: int
    emitters: int
    pixel_type: str

    def summary(self) -> str:
        """Return what was written in one line."""
        kind = (
            f"{self.pixel_type}, too bright for 16 bits"
            if self.pixel_type == "float32"
            else f"rounded to {self.pixel_type}"
        )
        return f"{self.frames} frames ({kind}) with {self.emitters} emitters in {self.folder}"


@takes_options(SimulateOptions)
def simulate(
    setup: Setup,
    out: str | Path,
    options: SimulateOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> SimulatedDataset:
    """Write simulated frames, their truth, setup, mask and preview into a folder.

    Args:
        setup: what is simulated.
        out: folder to write.
        options: see :class:`~ds3d_tf.options.SimulateOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier data set.
        progress: told how many frames are done.

    Raises InputError for a number out of range, an output that exists or cannot be written, or a bad mask.
    """
    count, emitter_count = options.count, options.emitter_count
    seed = setup.training_set.seed if options.seed is None else options.seed
    check_emitter_count(setup, emitter_count)
    out = check_folder(out, overwrite, "simulate")
    check_room(out, 2 * count * setup.volume.height_px * setup.volume.width_px)

    from ds3d_tf.simulation.dataset import TRUTH, write_dataset
    from ds3d_tf.simulation.preview import save_preview

    shape = (setup.volume.height_px, setup.volume.width_px)
    real = [] if options.beside is None else _first_frames(options.beside, options, shape)
    scene = None if options.scene is None else _scene(setup, options, seed)
    with output_folder(out, overwrite, "simulate") as folder:
        progress("simulating", 0, count)
        first = write_dataset(
            folder,
            setup,
            count,
            seed,
            emitter_count,
            scene=scene,
            on_frames=lambda done: progress("simulating", done, count),
        )
        save_preview(folder / "preview.png", setup, first, real)
        with open(folder / TRUTH, encoding="utf-8") as stream:
            emitters = sum(1 for _ in stream) - 1
    return SimulatedDataset(out, count, emitters, str(first.frames.dtype))


def _first_frames(recording: str, options: SimulateOptions, shape: tuple[int, int]) -> list[np.ndarray]:
    """Return the middle of the first frames of a recording, of no more than ``shape`` (H, W) pixels, counts."""
    from ds3d_tf.localization.recording.opening import open_recording

    source = open_recording(recording, options)
    (top, height), (left, width) = (
        (max(whole - part, 0) // 2, min(whole, part)) for whole, part in zip(source.shape, shape, strict=True)
    )
    return [source.read(index)[top : top + height, left : left + width] for index in range(min(len(source), 3))]


def _scene(setup: Setup, options: SimulateOptions, seed: int) -> Scene:
    from ds3d_tf.simulation.scene_frames import photophysics_of
    from ds3d_tf.simulation.scenes import simulate_scene

    how = photophysics_of(setup, options.emitter_count, options.on_frames, options.blinks, options.bleaching_frames)
    return simulate_scene(str(options.scene), setup, options.count, seed, how, options.drift_nm)
