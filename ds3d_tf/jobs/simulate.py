"""The job of `ds3d simulate`: a data set on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ds3d_tf.common.files import check_room
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import SimulateOptions
from ds3d_tf.setup import Setup
from ds3d_tf.setup.bounds import check_emitter_count


@dataclass(frozen=True)
class SimulatedDataset:
    """What was written: numbers of frames and emitters, and the pixel type ("uint16" or "float32")."""

    folder: Path
    frames: int
    emitters: int
    pixel_type: str

    def summary(self) -> str:
        """Return what was written in one line."""
        kind = "rounded to uint16" if self.pixel_type == "uint16" else f"{self.pixel_type}, too bright for uint16"
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

    with output_folder(out, overwrite, "simulate") as folder:
        progress("simulating", 0, count)
        first = write_dataset(
            folder, setup, count, seed, emitter_count, on_frames=lambda done: progress("simulating", done, count)
        )
        save_preview(folder / "preview.png", setup, first)
        with open(folder / TRUTH, encoding="utf-8") as stream:
            emitters = sum(1 for _ in stream) - 1
    return SimulatedDataset(out, count, emitters, str(first.frames.dtype))
