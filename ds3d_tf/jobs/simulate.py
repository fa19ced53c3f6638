"""The job of tools/simulate.py: a data set on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.setup import Setup


@dataclass(frozen=True)
class SimulatedDataset:
    """What was written: numbers of frames and emitters, and the pixel type ("uint16" or "float32")."""

    folder: Path
    frames: int
    emitters: int
    pixel_type: str


def simulate(
    setup: Setup,
    out: Path,
    count: int,
    *,
    seed: int | None = None,
    emitter_count: int | None = None,
    overwrite: bool = False,
) -> SimulatedDataset:
    """Write ``count`` frames, their truth, setup, mask and preview into the folder ``out``, with a progress bar.

    The seed is the setup's if None; ``emitter_count`` fixes the number of emitters a frame.

    Raises InputError for a number out of range, an output that exists or cannot be written, or a bad mask.
    """
    if count < 1:
        raise InputError(f"--count {count}: expected at least 1 frame")
    if emitter_count is not None and emitter_count < 0:
        raise InputError(f"--emitters {emitter_count}: expected 0 or more")
    seed = setup.training_set.seed if seed is None else seed
    if seed < 0:
        raise InputError(f"--seed {seed}: expected 0 or more")
    out = check_folder(out, overwrite, "simulate")

    from ds3d_tf.simulation.dataset import TRUTH, write_dataset
    from ds3d_tf.simulation.preview import save_preview

    with output_folder(out, overwrite, "simulate") as folder:
        with console.progress() as bar:
            task = bar.add_task("simulating", total=count)
            first = write_dataset(
                folder, setup, count, seed, emitter_count, on_frames=lambda done: bar.update(task, completed=done)
            )
        save_preview(folder / "preview.png", setup, first)
        with open(folder / TRUTH, encoding="utf-8") as stream:
            emitters = sum(1 for _ in stream) - 1
    return SimulatedDataset(out, count, emitters, str(first.frames.dtype))
