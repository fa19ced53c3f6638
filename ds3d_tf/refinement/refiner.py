"""Refinement as a step of a recording's localization: what a model found in some frames in, what is refined out."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.refinement.frames import refine
from ds3d_tf.refinement.images import image_model
from ds3d_tf.refinement.noise import CameraNoise
from ds3d_tf.refinement.options import DEFAULT_OPTIONS, RefineOptions
from ds3d_tf.refinement.pilot import Pilot, pilot, pilot_indices
from ds3d_tf.refinement.refined import RefinedLocalizations
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.source import FrameSource


@dataclass(frozen=True, eq=False)
class Refiner:
    """Refines the localizations of frames; frozen and small, so that it can be sent to other processes.

    Attributes:
        noise: the recording's; None: as the model's setup simulates.
        options: rate of false alarms, effort.
    """

    noise: CameraNoise | None = None
    options: RefineOptions = DEFAULT_OPTIONS

    def __call__(self, frames: np.ndarray, found: Localizations, mask_rad: np.ndarray) -> RefinedLocalizations:
        """Return the refined localizations of frames.

        Args:
            frames: float32 ``[F, H, W]`` (row, column), raw counts.
            found: what a model found in them; the first frame has number 1.
            mask_rad: float64 ``[N, N]`` (rows along y), phase mask of the model's training, rad; None: the setup's.
        """
        return refine(frames, found, found.setup, mask_rad, noise=self.noise, options=self.options)

    def for_recording(
        self, source: FrameSource, setup: Setup, mask_rad: np.ndarray | None, progress: Progress = no_progress
    ) -> tuple[Refiner, Pilot]:
        """Return what refines a recording with the noise that some of its frames show, and what they showed.

        Args:
            source: the recording; damaged frames are left out.
            setup: the model's.
            mask_rad: float64 ``[N, N]`` (rows along y), phase mask of the model's training, rad; None: the setup's.
            progress: told how many of the frames looked at are done.
        """
        frames = []
        for index in pilot_indices(len(source), source.shape):
            with contextlib.suppress(InputError):
                frames.append(source.read(index))
        seen = pilot(frames, setup, mask_rad, options=self.options, progress=progress)
        return replace(self, noise=seen.noise), seen


def make_refiner(
    wanted: bool | None,
    setup: Setup,
    mask_rad: np.ndarray | None,
    options: RefineOptions = DEFAULT_OPTIONS,
) -> tuple[Refiner | None, str]:
    """Return what refines the localizations of a model, or None and why not.

    Args:
        wanted: whether to refine; None: if the model allows it.
        setup: the model's.
        mask_rad: float64 ``[N, N]`` (rows along y), phase mask of the model's training, rad; None: not known.
        options: rate of false alarms, effort.

    Raises InputError if it is wanted and the model does not allow it.
    """
    if wanted is False:
        return None, ""
    try:
        if mask_rad is None:
            raise InputError("the model does not include its phase mask; export it again with this version")
        image_model(setup.optics, setup.volume, mask_rad)
    except ValueError as error:  # InputError is one
        reason = error.marked if isinstance(error, InputError) else str(error)
        if wanted:
            raise InputError(f"{argument('refine')}: {reason}") from error
        return None, f"not refined: {error}"
    return Refiner(options=options), ""


def with_the_noise_of(
    source: FrameSource, refiner: Refiner, setup: Setup, mask_rad: np.ndarray | None, progress: Progress = no_progress
) -> tuple[Refiner, dict[str, Any]]:
    """Return a refiner with a recording's own noise, say in a line what that is, and return it for JSON.

    Args:
        source: the recording.
        refiner: without a noise.
        setup: the model's.
        mask_rad: float64 ``[N, N]`` (rows along y), phase mask of the model's training, rad; None: the setup's.
        progress: told how many of the frames looked at are done.
    """
    refiner, seen = refiner.for_recording(source, setup, mask_rad, progress)
    console.messages().print(seen.summary(), soft_wrap=True)
    return refiner, {"noise": seen.report(), "false_alarms_per_frame": refiner.options.false_alarms_per_frame}
