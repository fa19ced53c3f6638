"""Options of the commands that learn: simulate, train, tune, learn-mask, import-weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ds3d_tf.common.limits import MANY, MAX_COUNTS, MAX_DEPTH_VOXELS, MAX_SEED
from ds3d_tf.common.options import Option, Options
from ds3d_tf.options.shared import INPUT, SPEED, Channel, Deterministic, EmitterCount, Position, Resume, Seed

DEFAULT_TRIALS = 20
_SIMULATION, _SCENE, _SEARCH, _NETWORK = "Simulation", "Scene", "Search", "Network"


@dataclass(frozen=True)
class SimulateOptions(Options):
    """Options of :func:`ds3d_tf.jobs.simulate.simulate`."""

    count: Annotated[int, Option("--count", "Number of frames.", _SIMULATION, least=1, most=MANY)] = 100
    seed: Annotated[
        int | None, Option("--seed", "Random seed; the setup's if omitted.", _SIMULATION, least=0, most=MAX_SEED)
    ] = None
    emitter_count: EmitterCount = None
    beside: Annotated[
        str | None, Option("--beside", "Recording whose first frames are shown in the preview, for comparison.", INPUT)
    ] = None
    position: Position = None
    channel: Channel = None
    scene: Annotated[
        str | None,
        Option(
            "--scene",
            "Blinking molecules on a structure: microtubules, pores, spirals, or a .csv file with x_um, y_um, z_um.",
            _SCENE,
            "SCENE",
        ),
    ] = None
    drift_nm: Annotated[
        tuple[float, float, float], Option("--drift", "Drift in x, y and z over the recording, nm.", _SCENE)
    ] = (0.0, 0.0, 0.0)
    on_frames: Annotated[float, Option("--on", "Mean time that a molecule is bright, frames.", _SCENE, above=0)] = 2.0
    blinks: Annotated[
        float, Option("--blinks", "Mean number of times that a molecule lights up before it bleaches.", _SCENE, above=0)
    ] = 3.0
    bleaching_frames: Annotated[
        float | None,
        Option("--bleaching", "Frames in which the light falls to 1/e, unless --blinks end before.", _SCENE, above=0),
    ] = None


@dataclass(frozen=True)
class TrainOptions(Options):
    """Options of :func:`ds3d_tf.jobs.train.train`."""

    resume: Resume = False
    deterministic: Deterministic = False
    devices: Annotated[
        Literal["one", "all", "workers"],
        Option("--devices", "One device, all devices of this machine, or all workers listed in TF_CONFIG.", SPEED),
    ] = "one"
    tensorboard: Annotated[bool, Option("--tensorboard", "Write logs for TensorBoard into OUT/logs.", "Output")] = False


@dataclass(frozen=True)
class LearnMaskOptions(Options):
    """Options of :func:`ds3d_tf.jobs.learn_mask.learn_mask`."""

    resume: Resume = False
    fixed: Annotated[
        bool, Option("--fixed-mask", "Keep the mask fixed and train only the network, for comparison.")
    ] = False
    pictures_every: Annotated[
        int, Option("--pictures-every", "Draw the mask every K epochs; 0: never.", "Output", "K", least=0, most=MANY)
    ] = 1
    deterministic: Deterministic = False


@dataclass(frozen=True)
class TuneOptions(Options):
    """Options of :func:`ds3d_tf.jobs.tune.tune`."""

    method: Annotated[
        Literal["random", "bayesian", "hyperband"],
        Option("--method", "How the next settings are chosen.", _SEARCH),
    ] = "random"
    objective: Annotated[
        Literal["matched_jaccard", "val_loss"],
        Option("--objective", "Metric that ranks the trials.", _SEARCH),
    ] = "matched_jaccard"
    trials: Annotated[
        int | None,
        Option(
            "--trials",
            f"Maximum number of trials; {DEFAULT_TRIALS} if omitted, or the schedule of hyperband.",
            _SEARCH,
            least=1,
            most=MANY,
        ),
    ] = None
    epochs: Annotated[
        int | None, Option("--epochs", "Epochs per trial; the setup's if omitted.", _SEARCH, least=1, most=MANY)
    ] = None
    frames: Annotated[
        int | None,
        Option(
            "--frames-per-epoch",
            "Training frames per epoch of a trial; the setup's, which best.yaml keeps, if omitted.",
            _SEARCH,
            least=1,
            most=MANY,
        ),
    ] = None
    seed: Seed = 0
    workers: Annotated[
        int,
        Option(
            "--workers",
            "Number of worker processes on this machine; 0: train in this process.",
            SPEED,
            least=0,
            most=1024,
        ),
    ] = 0


@dataclass(frozen=True)
class ImportWeightsOptions(Options):
    """Options of :func:`ds3d_tf.jobs.import_weights.import_weights`."""

    depth_voxels: Annotated[
        int | None,
        Option(
            "--depth",
            "Number of depth voxels, if it differs from the setup's.",
            _NETWORK,
            least=1,
            most=MAX_DEPTH_VOXELS,
        ),
    ] = None
    max_dilation: Annotated[
        int | None, Option("--dilation", "Largest dilation, 16 or 4; detected if omitted.", _NETWORK)
    ] = None
    grid: Annotated[
        Literal["pixel_area", "half_pixel_shifted"] | None,
        Option("--grid", "Voxel grid of the training; detected if omitted.", _NETWORK),
    ] = None
    scaling_factor: Annotated[
        float | None,
        Option("--scaling-factor", "Largest confidence; the setup's if omitted.", _NETWORK, above=0, most=MAX_COUNTS),
    ] = None
