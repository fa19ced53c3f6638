"""Options of the commands that calibrate: retrieve-mask, prepare, estimate-noise, crlb, design-mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.limits import (
    MANY,
    MAX_BLUR_PX,
    MAX_COUNTS,
    MAX_FRAME_PX,
    MAX_NOLL_INDEX,
    MAX_PHOTONS,
    MAX_SEED,
    MAX_Z_POSITIONS,
    MAX_Z_UM,
    MIN_BLUR_PX,
)
from ds3d_tf.common.options import Option, Options
from ds3d_tf.options.shared import INPUT, Seed

_CONDITIONS, _FIT, _BEAD, _SEARCH = "Conditions", "Fit", "Bead and camera", "Search"


@dataclass(frozen=True)
class FitOptions(Options):
    """How a mask is fitted to a bead's z-stack."""

    likelihood: Annotated[
        Literal["gaussian", "poisson"],
        Option("--likelihood", "Noise model of the fit; poisson expects counts that --gain turns into photons.", _FIT),
    ] = "gaussian"
    zernike_terms: Annotated[
        int,
        Option(
            "--zernike",
            "Start from Zernike modes up to this Noll index; 0 starts from a flat mask.",
            _FIT,
            least=0,
            most=MAX_NOLL_INDEX,
        ),
    ] = 15
    max_steps: Annotated[
        int,
        Option(
            "--steps",
            "Maximum number of steps; the fit stops earlier when it no longer improves.",
            _FIT,
            least=20,
            most=MANY,
        ),
    ] = 400
    seed: Annotated[int, Option("--seed", "Random seed.", _FIT, least=0, most=MAX_SEED)] = 0


@dataclass(frozen=True)
class RetrieveMaskOptions(FitOptions):
    """Options of :func:`ds3d_tf.jobs.retrieve_mask.retrieve_mask`."""

    optical_model: Annotated[
        Literal["scalar", "vectorial"] | None,
        Option("--optical-model", "Model of the microscope's optics; the setup's if omitted.", "Optics"),
    ] = None
    polarization: Annotated[
        Literal["x", "y", "none", "auto"] | None,
        Option("--polarization", "auto tries x and y and keeps the better; the setup's if omitted.", "Optics"),
    ] = None
    baseline: Annotated[
        float,
        Option(
            "--baseline",
            "Camera counts without light; used by the poisson likelihood.",
            _BEAD,
            least=-MAX_COUNTS,
            most=MAX_COUNTS,
        ),
    ] = 0.0
    gain: Annotated[
        float, Option("--gain", "Counts per photon; used by the poisson likelihood.", _BEAD, above=0, most=MAX_COUNTS)
    ] = 1.0
    bead_height_um: Annotated[
        float,
        Option(
            "--bead-height",
            "z position of the bead's centre above the coverslip, µm.",
            _BEAD,
            "UM",
            least=-MAX_Z_UM,
            most=MAX_Z_UM,
        ),
    ] = 0.0
    leave_out_every: Annotated[
        int,
        Option(
            "--leave-out-every",
            "Leave every k-th slice out of the fit, to test the result on; 0: none.",
            _FIT,
            "K",
            least=0,
            most=MANY,
        ),
    ] = 0
    skip: Annotated[
        tuple[int, ...],
        Option("--skip", "Slices to ignore, counted from 1.", INPUT, "I,J,…", numbers=True, least=1, most=MANY),
    ] = ()


@dataclass(frozen=True)
class PrepareOptions(Options):
    """Options of :func:`ds3d_tf.jobs.prepare.prepare`."""

    minimum: Annotated[
        Path | None,
        Option("--minimum", "Subtract this image instead: the minimum.tif of another recording.", INPUT),
    ] = None
    skip: Annotated[
        tuple[int, ...],
        Option("--skip", "Frames to leave out of the minimum, counted from 1.", INPUT, "I,J,…", numbers=True),
    ] = ()


@dataclass(frozen=True)
class EstimateNoiseOptions(Options):
    """Options of :func:`ds3d_tf.jobs.estimate_noise.estimate_noise`."""

    box: Annotated[
        tuple[int, ...],
        Option(
            "--box",
            "Measure the noise in this part of the frames, which has no emitters; detected if omitted.",
            INPUT,
            "ROW,COLUMN,HEIGHT,WIDTH",
            numbers=True,
            least=0,
            most=MAX_FRAME_PX,
        ),
    ] = ()
    offset_counts: Annotated[
        float | None,
        Option(
            "--offset",
            "Counts of a dark pixel of the camera, if known; estimated if omitted.",
            INPUT,
            least=-MAX_COUNTS,
            most=MAX_COUNTS,
        ),
    ] = None
    em_gain: Annotated[
        float,
        Option(
            "--em-gain",
            "EM gain of an EMCCD, which doubles the variance; 1 for other cameras.",
            INPUT,
            least=1,
            most=MAX_COUNTS,
        ),
    ] = 1.0
    seed: Seed = 0


@dataclass(frozen=True)
class ConditionOptions(Options):
    """Light and noise of an emitter, where they shall differ from the setup's means."""

    photons: Annotated[
        float | None,
        Option(
            "--photons", "Photons per emitter; the setup's mean if omitted.", _CONDITIONS, above=0, most=MAX_PHOTONS
        ),
    ] = None
    background: Annotated[
        float | None,
        Option(
            "--background",
            "Background, counts per pixel; the setup's mean if omitted.",
            _CONDITIONS,
            least=0,
            most=MAX_COUNTS,
        ),
    ] = None
    read_noise: Annotated[
        float | None,
        Option(
            "--read-noise",
            "Standard deviation, counts (with a section `camera`: photoelectrons); the setup's mean if omitted.",
            _CONDITIONS,
            least=0,
            most=MAX_COUNTS,
        ),
    ] = None
    blur_sigma_px: Annotated[
        float | None,
        Option(
            "--blur",
            "Standard deviation, pixels; the setup's mean if omitted.",
            _CONDITIONS,
            least=MIN_BLUR_PX,
            most=MAX_BLUR_PX,
        ),
    ] = None


@dataclass(frozen=True)
class CrlbOptions(ConditionOptions):
    """Options of :func:`ds3d_tf.jobs.crlb.crlb`."""

    z_positions: Annotated[int, Option("--z-positions", "Number of z positions.", least=2, most=MAX_Z_POSITIONS)] = 41
    compare: Annotated[
        tuple[str, ...],
        Option("--compare", "Another mask to draw; may be repeated.", metavar="MASK"),
    ] = ()


@dataclass(frozen=True)
class DesignOptions(Options):
    """How a mask is searched for; piston and tilts, Noll indices 1 to 3, change no precision."""

    lowest_mode: Annotated[
        int,
        Option(
            "--lowest",
            "First Noll index; 4 lets the design choose its focus, 5 keeps the setup's.",
            "Zernike basis",
            least=4,
            most=MAX_NOLL_INDEX,
        ),
    ] = 4
    highest_mode: Annotated[
        int, Option("--highest", "Last Noll index.", "Zernike basis", least=4, most=MAX_NOLL_INDEX)
    ] = 55
    z_positions: Annotated[
        int,
        Option(
            "--z-positions",
            "Number of z positions over which the bound is averaged.",
            _SEARCH,
            least=2,
            most=MAX_Z_POSITIONS,
        ),
    ] = 17
    starts: Annotated[
        int, Option("--starts", "Number of random starts; the best one is continued.", _SEARCH, least=1, most=MANY)
    ] = 6
    start_steps: Annotated[
        int, Option("--start-steps", "Maximum iterations from each start.", _SEARCH, least=1, most=MANY)
    ] = 60
    steps: Annotated[int, Option("--steps", "Maximum iterations from the best start.", _SEARCH, least=1, most=MANY)] = (
        400
    )
    start_rad: Annotated[
        float,
        Option(
            "--start-spread",
            "Standard deviation of a start's coefficients, radians rms each.",
            _SEARCH,
            "RAD",
            above=0,
            most=100,
        ),
    ] = 0.5
    seed: Annotated[int, Option("--seed", "Random seed of the starts.", _SEARCH, least=0, most=MAX_SEED)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.highest_mode < self.lowest_mode:
            raise InputError(
                f"{argument('highest_mode')} {self.highest_mode}: expected {argument('lowest_mode')} "
                f"({self.lowest_mode}) or more"
            )

    @property
    def modes(self) -> tuple[int, ...]:
        """Noll indices of the basis."""
        return tuple(range(self.lowest_mode, self.highest_mode + 1))


@dataclass(frozen=True)
class DesignMaskOptions(DesignOptions, ConditionOptions):
    """Options of :func:`ds3d_tf.jobs.design_mask.design_mask`."""
