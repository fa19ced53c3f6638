"""What localizing a recording needs before its first frame: model, work, columns, what makes two jobs the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.machine import has_bfloat16_units
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.localization.localizer import Localizer, checked_options
from ds3d_tf.localization.recording.batches import Work
from ds3d_tf.localization.tables.tables import COLUMNS, REFINED_COLUMNS
from ds3d_tf.refinement.options import RefineOptions
from ds3d_tf.refinement.refiner import Refiner, make_refiner, with_the_noise_of

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.source import FrameSource
    from ds3d_tf.options import LocalizeOptions


@dataclass(frozen=True, eq=False)
class Preparation:
    """A model with what it does to a recording.

    Attributes:
        localizer: the model.
        refiner: refines what it finds, or None.
        work: what a process must know, with the refiner.
        identity: facts (JSON) that make two jobs on one recording the same.
        columns: names of the table's columns.
    """

    localizer: Localizer
    refiner: Refiner | None
    work: Work
    identity: dict[str, Any]
    columns: tuple[str, ...]

    def with_noise(
        self, source: FrameSource, progress: Progress = no_progress
    ) -> tuple[Preparation, dict[str, Any] | None]:
        """Return it with the recording's own noise, and that noise for JSON; as it is, and None, if nothing is refined.

        Args:
            source: the recording.
            progress: told how many of the frames looked at are done.
        """
        if self.refiner is None:
            return self, None
        localizer = self.localizer
        refiner, notes = with_the_noise_of(source, self.refiner, localizer.setup, localizer.mask_rad, progress)
        return replace(self, refiner=refiner, work=replace(self.work, refine=refiner)), notes


def prepare(model: str | Path, frames: str | Path, source: FrameSource, options: LocalizeOptions) -> Preparation:
    """Return what localizing a recording with a model needs.

    Args:
        model: a model in any format of this package, or the name of a shipped one.
        frames: the recording's name.
        source: the recording.
        options: as of ``ds3d localize``.

    Raises InputError for a model or option that does not go with the recording.
    """
    localizer = Localizer(model, memory_gb=options.memory_gb, precision=options.precision)
    localizer.check_shape(source.shape, str(frames))
    threshold, radius_voxels = checked_options(localizer.setup, options.threshold, options.radius_voxels)
    batch_size = options.batch_size or localizer.batch_size(source.shape)
    localizer.tile_size(source.shape, batch_size, radius_voxels)
    if options.precision == "bfloat16" and not has_bfloat16_units():
        console.messages().print("this processor has no units for bfloat16; float32 will be faster", soft_wrap=True)
    refiner, why_not = make_refiner(
        options.refine, localizer.setup, localizer.mask_rad, RefineOptions(options.false_alarms)
    )
    if why_not:
        console.messages().print(why_not, soft_wrap=True)
    work = Work(
        model=str(localizer.path.absolute()),
        frames=str(Path(frames).expanduser().absolute()),
        threshold=threshold,
        radius_voxels=radius_voxels,
        batch_size=batch_size,
        skip_damaged=options.skip_damaged,
        memory_gb=options.memory_gb,
        precision=options.precision,
        refine=refiner,
        position=options.position,
        channel=options.channel,
    )
    identity = {
        "model": localizer.fingerprint(),
        **chosen(options.position, options.channel),
        "threshold": threshold,
        "radius": radius_voxels,
        **({} if options.precision == "float32" else {"precision": options.precision}),
        **({"refined": True, "false alarms": options.false_alarms} if refiner else {}),
    }
    columns = COLUMNS + REFINED_COLUMNS if refiner else localizer.columns
    return Preparation(localizer, refiner, work, identity, columns)


def check_context(localizer: Localizer, frames: str | Path, count: int) -> None:
    """Raise InputError if a model that sees frames before and after has a recording of one frame."""
    if count < 2 and localizer.context_frames > 1:
        raise InputError(
            f"{frames}: a single frame, but {localizer.path} sees {localizer.context_frames} frames at once; give a "
            "recording of two frames or more, or a model with learning.context_frames=1"
        )


def chosen(position: str | None, channel: str | None) -> dict[str, str]:
    """Return position and channel as parts of a table's identity, where they are chosen."""
    return {name: value for name, value in (("position", position), ("channel", channel)) if value is not None}
