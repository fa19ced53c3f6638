"""The job of `ds3d prepare`: a raw recording in, one without its constant background out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.interrupt import PatientInterrupt
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import PrepareOptions

PREPARED, MINIMUM, REPORT = "prepared.tif", "minimum.tif", "prepare.yaml"
FEW_FRAMES = 100


@dataclass(frozen=True)
class PreparedRecording:
    """What was written: number of frames, mean of the minimum and of the prepared frames (counts), pixel type.

    ``remarks`` holds a sentence for each thing a person should look at.
    """

    folder: Path
    frames: int
    minimum_counts: float
    mean_counts: float
    pixel_type: str
    remarks: list[str]

    def summary(self) -> str:
        """Return what a person wants to know about it, a few lines."""
        lines = [
            f"{self.frames} frames less their minimum projection (mean {self.minimum_counts:.1f} counts); "
            f"{self.mean_counts:.1f} counts a pixel are left, stored as {self.pixel_type}",
            *(f"note: {remark}" for remark in self.remarks),
            f"recording: {self.folder / PREPARED}",
        ]
        return "\n".join(lines)


@takes_options(PrepareOptions)
def prepare(
    frames: str | Path,
    out: str | Path,
    options: PrepareOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> PreparedRecording:
    """Subtract a recording's minimum projection, reading it twice, a frame at a time, and write all into a folder.

    Args:
        frames: recording, in any form that ``open_frames`` reads.
        out: folder to write.
        options: see :class:`~ds3d_tf.options.PrepareOptions`; its fields may be given as keywords instead. Frames to
            skip do not count in the projection, but are written like all others.
        overwrite: whether to replace an earlier output.
        progress: told how many frames are done.

    Raises InputError for a recording that is too short, damaged or constant, or an output that exists.
    """
    out = check_folder(out, overwrite, "prepare")

    import tifffile
    import yaml

    from ds3d_tf.calibration.preparation import (
        FEWEST_FRAMES,
        minimum_projection,
        prepared_type,
        read_minimum,
        write_prepared,
    )
    from ds3d_tf.calibration.preparation_plots import SHOWN_FRAMES, draw_minimum, draw_prepared
    from ds3d_tf.localization.recording.opening import open_recording

    minimum, skip = options.minimum, options.skip
    source = open_recording(frames, options)
    unknown = [number for number in skip if not 1 <= number <= len(source)]
    if unknown:
        raise InputError(f"{argument('skip')} {unknown[0]}: frames are numbered from 1 to {len(source)}")
    given = read_minimum(minimum, source.shape) if minimum is not None else None
    with PatientInterrupt() as interrupt, output_folder(out, overwrite, "prepare") as folder:

        def watch(name: str) -> Callable[[int], None]:
            def on_frame(done: int) -> None:
                interrupt.check()
                progress(name, done, len(source))

            return on_frame

        excluded = {number - 1 for number in skip}
        fewest = FEWEST_FRAMES if given is None else 1
        projection = minimum_projection(source, excluded, watch("minimum"), fewest=fewest)
        image = projection.image if given is None else given
        pixel_type = prepared_type(projection, image)
        write_prepared(folder / PREPARED, source, image, pixel_type, watch("writing"))
        whole = np.all(image == np.rint(image)) and image.min() >= 0 and image.max() < 65536
        tifffile.imwrite(folder / MINIMUM, image.astype(np.uint16) if whole else image, photometric="minisblack")
        draw_minimum(folder / "minimum.png", image, projection.means)
        shown = np.unique(np.linspace(0, len(source) - 1, SHOWN_FRAMES).round().astype(int))
        raw = [source.read(int(index)) for index in shown]
        draw_prepared(folder / "prepared.png", raw, image, [f"frame {index + 1}" for index in shown])
        mean = float(projection.means.mean() - image.mean(dtype=np.float64))
        report = {
            "recording": str(frames),
            "frames": len(source),
            "minimum_of": str(frames if minimum is None else minimum),
            "frames_left_out_of_the_minimum": sorted(skip),
            "minimum_counts": {
                "mean": round(float(image.mean(dtype=np.float64)), 3),
                "lowest": float(image.min()),
                "highest": float(image.max()),
            },
            "mean_counts_left": round(mean, 3),
        }
        (folder / REPORT).write_text(yaml.safe_dump(report, sort_keys=False), encoding="utf-8")
    remarks = []
    dark = [int(index) + 1 for index in projection.dark_frames() if index not in excluded]
    if given is None and dark:
        names = ",".join(map(str, dark[:20])) + (",…" if len(dark) > 20 else "")
        remarks.append(
            f"{len(dark)} frames are much darker than the rest and set the minimum alone; "
            f"if they were not lit, leave them out with --skip {names}"
        )
    if given is None and len(source) - len(skip) < FEW_FRAMES:
        remarks.append(
            f"the minimum of {len(source) - len(skip)} frames may still hold emitters; look at minimum.png, "
            "or take the minimum of a longer recording with --minimum"
        )
    return PreparedRecording(out, len(source), float(image.mean(dtype=np.float64)), mean, str(pixel_type), remarks)
