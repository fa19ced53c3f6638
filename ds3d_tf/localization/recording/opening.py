"""Opening a recording for a command: the chosen position and channel, and what a user should know about it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.source import FrameSource, open_frames


class Chosen(Protocol):
    """Options that say which position and channel of a recording are meant."""

    @property
    def position(self) -> str | None:
        """Name or number of the position."""

    @property
    def channel(self) -> str | None:
        """Name or number of the channel."""


def open_recording(frames: str | Path, options: Chosen, *, keep_damaged: bool = False) -> FrameSource:
    """Return the frames of a recording, and say on stderr what a user should know about it.

    Args:
        frames: recording, in any form that ``open_frames`` reads.
        options: which position and channel.
        keep_damaged: see ``open_frames``.

    Raises InputError for a recording that cannot be read.
    """
    source = open_frames(frames, keep_damaged, position=options.position, channel=options.channel)
    for remark in (*source.remarks, *_doubts(source)):
        console.messages().print(f"note: {remark}", soft_wrap=True, markup=False)
    return source


def _doubts(source: FrameSource) -> list[str]:
    """Return what is odd about the first frame's counts."""
    try:
        first = source.first()[1]
    except InputError:  # said by the one who needs the frame
        return []
    if first.size and float(np.min(first)) >= 0 and 0 < float(np.max(first)) <= 1:
        return [
            f"{source.where}: the counts are between 0 and 1, as of a picture that was scaled; noise, photons and "
            "most models need the camera's own counts, and find nothing in such frames"
        ]
    return []
