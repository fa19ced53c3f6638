"""Options that several commands have: each is worded once."""

from __future__ import annotations

from typing import Annotated

from ds3d_tf.common.limits import MANY, MAX_BATCH, MAX_COUNTS, MAX_EMITTERS, MAX_RADIUS_VOXELS, MAX_SEED
from ds3d_tf.common.options import Option

DETECTION = "Detection"
INPUT = "Input"
SPEED = "Speed and memory"

DEFAULT_MEMORY_GB = 4.0

Threshold = Annotated[
    float | None,
    Option(
        "--threshold",
        "Minimum confidence of a localization; the model's own if omitted.",
        DETECTION,
        least=0,
        most=MAX_COUNTS,
    ),
]
RadiusVoxels = Annotated[
    int | None,
    Option(
        "--radius",
        "Radius of a peak's neighbourhood, voxels; the model's own if omitted.",
        DETECTION,
        least=1,
        most=MAX_RADIUS_VOXELS,
    ),
]
BatchSize = Annotated[
    int | None,
    Option("--batch", "Frames per step; chosen by frame size if omitted.", SPEED, least=1, most=MAX_BATCH),
]
MemoryGB = Annotated[
    float,
    Option(
        "--memory",
        "Maximum memory of the process; larger frames are processed in tiles.",
        SPEED,
        "GB",
        above=0,
        most=MANY,
    ),
]
SkipDamaged = Annotated[
    bool,
    Option("--skip-damaged", "Skip damaged frames and list them in OUT.log.", INPUT),
]
Grown = Annotated[
    bool,
    Option("--continue", "Resume although the recording has more frames than when the job began.", INPUT),
]
RefineOption = Annotated[
    bool | None,
    Option(
        "--refine/--no-refine",
        "Fit all emitters of a frame jointly, which gives photons and uncertainties and finds missed emitters; "
        "on if omitted and the model includes its mask.",
        DETECTION,
    ),
]
FalseAlarms = Annotated[
    float,
    Option(
        "--false-alarms",
        "Emitters that noise alone may add to a frame on average; fewer lose faint molecules.",
        DETECTION,
        "RATE",
        above=0,
        most=0.9,
    ),
]
Seed = Annotated[int, Option("--seed", "Random seed.", least=0, most=MAX_SEED)]
EmitterCount = Annotated[
    int | None,
    Option(
        "--emitters",
        "Number of emitters in every simulated frame; random if omitted.",
        "Simulation",
        least=0,
        most=MAX_EMITTERS,
    ),
]
Deterministic = Annotated[
    bool,
    Option("--deterministic", "Bit-for-bit reproducible; slower.", SPEED),
]
Resume = Annotated[
    bool,
    Option("--resume", "Resume the run in --out from its last checkpoint."),
]
