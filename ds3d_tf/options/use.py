"""Options of the commands that use a trained model: localize, evaluate, export, serve, serve-client, benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ds3d_tf.common.limits import MANY, MAX_BATCH, MAX_FRAME_PX, MAX_PHOTONS, MAX_PORT, MAX_SEED
from ds3d_tf.common.options import Option, Options
from ds3d_tf.options.shared import (
    DEFAULT_MEMORY_GB,
    DETECTION,
    INPUT,
    SPEED,
    BatchSize,
    Channel,
    EmitterCount,
    FalseAlarms,
    Grown,
    MemoryGB,
    Position,
    RadiusVoxels,
    RefineOption,
    SkipDamaged,
    Threshold,
)

_SIMULATION, _CONNECTION, _CHECK, _SIZES = "Simulation", "Connection", "Check", "Sizes"

ExportFormat = Literal["saved_model", "tflite", "onnx", "openvino", "bioimageio"]


@dataclass(frozen=True)
class LocalizeOptions(Options):
    """Options of :func:`ds3d_tf.jobs.localize.localize`."""

    threshold: Threshold = None
    radius_voxels: RadiusVoxels = None
    skip_damaged: SkipDamaged = False
    position: Position = None
    channel: Channel = None
    grown: Grown = False
    refine: RefineOption = None
    false_alarms: FalseAlarms = 0.01
    plots: Annotated[bool, Option("--plots", "Draw the first frames into OUT_plots/.", "Output")] = False
    batch_size: BatchSize = None
    memory_gb: MemoryGB = DEFAULT_MEMORY_GB
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Option("--precision", "bfloat16 is faster on processors that support it.", SPEED),
    ] = "float32"
    dask: Annotated[
        str | None,
        Option("--dask", "Use Dask workers: tcp://HOST:PORT, or local[:N] on this machine.", SPEED, "SCHEDULER"),
    ] = None


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """Options of :func:`ds3d_tf.jobs.evaluate.evaluate`."""

    count: Annotated[int, Option("--count", "Number of frames to simulate.", _SIMULATION, least=1, most=MANY)] = 100
    seed: Annotated[
        int, Option("--seed", "Random seed of the simulated frames.", _SIMULATION, least=0, most=MAX_SEED)
    ] = 1
    emitter_count: EmitterCount = None
    frames: Annotated[
        str | None,
        Option(
            "--frames",
            "Evaluate on these frames instead: TIFF, folder of TIFFs, Zarr, NumPy (.npy, .npz), or a glob in quotes.",
            INPUT,
        ),
    ] = None
    position: Position = None
    channel: Channel = None
    truth: Annotated[
        Path | None, Option("--truth", "CSV of their true emitters: frame, x [nm], y [nm], z [nm], photons.", INPUT)
    ] = None
    threshold: Threshold = None
    radius_voxels: RadiusVoxels = None
    label_threshold: Annotated[
        float | None,
        Option(
            "--label-threshold",
            "Ignore true emitters with this many photons or fewer; the setup's if omitted.",
            DETECTION,
            "PHOTONS",
            least=0,
            most=MAX_PHOTONS,
        ),
    ] = None
    tolerance_nm: Annotated[
        float,
        Option(
            "--tolerance",
            "Maximum distance of a localization to its true emitter, nm.",
            DETECTION,
            "NM",
            above=0,
            most=1e6,
        ),
    ] = 100.0
    challenge: Annotated[
        tuple[float, float, float],
        Option(
            "--challenge",
            "For the SMLM challenge's efficiency: maximum distance in x and y, in z, and the border left out, nm.",
            DETECTION,
            least=0,
        ),
    ] = (250.0, 500.0, 450.0)
    refine: Annotated[
        bool, Option("--refine", "Refine the localizations, and compare them with the Cramér–Rao bound.", DETECTION)
    ] = False
    false_alarms: FalseAlarms = 0.01
    batch_size: BatchSize = None


@dataclass(frozen=True)
class ExportOptions(Options):
    """Options of :func:`ds3d_tf.jobs.export.export`."""

    frames: Annotated[
        str | None,
        Option("--frames", "Recording to compare the models on; simulated frames if omitted.", _CHECK),
    ] = None
    position: Position = None
    channel: Channel = None
    check: Annotated[
        int, Option("--check", "Number of frames to compare the models on.", _CHECK, least=1, most=MANY)
    ] = 8
    weights: Annotated[
        Literal["float32", "float16", "int8"],
        Option("--weights", "For tflite: number format of the weights.", "Format"),
    ] = "float32"
    tile_px: Annotated[
        tuple[int, int] | None,
        Option(
            "--tile",
            "For tflite: rows and columns of the input; the setup's frame size if omitted.",
            "Format",
            least=1,
            most=MAX_FRAME_PX,
        ),
    ] = None
    sample: Annotated[
        int,
        Option(
            "--sample",
            "For saved_model: frames of the sample recording stored beside it; 0: none.",
            "Format",
            least=0,
            most=MANY,
        ),
    ] = 10
    memory_gb: MemoryGB = DEFAULT_MEMORY_GB


@dataclass(frozen=True)
class ServeOptions(Options):
    """Options of :func:`ds3d_tf.jobs.serve.serve`."""

    host: Annotated[str, Option("--host", "Address to listen on; 0.0.0.0 accepts every network.", _CONNECTION)] = (
        "127.0.0.1"
    )
    port: Annotated[int, Option("--port", "gRPC port; 0 chooses a free one.", _CONNECTION, least=0, most=MAX_PORT)] = (
        8500
    )
    rest_port: Annotated[
        int, Option("--rest-port", "REST port; 0 chooses a free one.", _CONNECTION, least=0, most=MAX_PORT)
    ] = 8501
    parallel: Annotated[
        int,
        Option(
            "--parallel", "Number of simultaneous predictions; each needs its own memory.", SPEED, least=1, most=1024
        ),
    ] = 1
    memory_gb: Annotated[
        float, Option("--memory", "Maximum memory of a request for volumes.", SPEED, "GB", above=0, most=MANY)
    ] = DEFAULT_MEMORY_GB
    request_timeout_s: Annotated[
        float,
        Option("--request-timeout", "Give up a request after this time.", _CONNECTION, "SECONDS", above=0, most=1e6),
    ] = 120
    connections: Annotated[
        int, Option("--connections", "Number of simultaneous connections.", _CONNECTION, least=1, most=10_000)
    ] = 256
    tls_cert: Annotated[
        Path | None,
        Option("--tls-cert", "Certificate (PEM) for TLS, with its key unless --tls-key is given.", _CONNECTION),
    ] = None
    tls_key: Annotated[Path | None, Option("--tls-key", "Private key (PEM) of the certificate.", _CONNECTION)] = None
    token_file: Annotated[
        Path | None, Option("--token-file", "File with the bearer token that the server asks for.", _CONNECTION)
    ] = None
    largest_request_mb: Annotated[
        float, Option("--largest-request", "Reject larger requests.", SPEED, "MB", above=0, most=2047)
    ] = 64


@dataclass(frozen=True)
class ServeClientOptions(Options):
    """Options of :func:`ds3d_tf.jobs.serve_client.serve_client`."""

    version: Annotated[
        int | None,
        Option("--version", "Version of the model; the highest if omitted.", _CONNECTION, least=0, most=2**63 - 1),
    ] = None
    threshold: Threshold = None
    radius_voxels: RadiusVoxels = None
    skip_damaged: SkipDamaged = False
    position: Position = None
    channel: Channel = None
    grown: Grown = False
    refine: RefineOption = None
    false_alarms: FalseAlarms = 0.01
    in_flight: Annotated[
        int, Option("--in-flight", "Number of simultaneous requests.", _CONNECTION, least=1, most=1024)
    ] = 4
    timeout_s: Annotated[
        float,
        Option(
            "--timeout", "Seconds before an unanswered request is retried.", _CONNECTION, "SECONDS", above=0, most=1e6
        ),
    ] = 120
    patience_s: Annotated[
        float, Option("--patience", "Total seconds to keep retrying.", _CONNECTION, "SECONDS", above=0, most=MANY)
    ] = 300
    token_file: Annotated[
        Path | None, Option("--token-file", "File with the bearer token that the server asks for.", _CONNECTION)
    ] = None
    root_certificates: Annotated[
        Path | None, Option("--certificates", "Root certificates (PEM); the system's if omitted.", _CONNECTION)
    ] = None


@dataclass(frozen=True)
class Sizes(Options):
    """How much work each part of a benchmark gets; the defaults are those of the published setups."""

    frame_px: Annotated[
        int,
        Option("--size", "Side of the frames for loss and network, pixels.", _SIZES, "PX", least=1, most=MAX_FRAME_PX),
    ] = 121
    peaks_frame_px: Annotated[
        tuple[int, int],
        Option("--peaks-size", "Rows and columns of the frame for peaks, pixels.", _SIZES, least=1, most=MAX_FRAME_PX),
    ] = (297, 391)
    examples: Annotated[int, Option("--examples", "Training examples per repeat.", _SIZES, least=1, most=MANY)] = 256
    batch: Annotated[int, Option("--batch", "Frames per training step.", _SIZES, least=1, most=MAX_BATCH)] = 1
    molecules: Annotated[
        int, Option("--molecules", "Number of molecules in the picture.", _SIZES, least=1, most=MANY)
    ] = 1_000_000
    repeats: Annotated[
        int, Option("--repeats", "Number of repeats; the median is reported.", _SIZES, least=1, most=MANY)
    ] = 5


@dataclass(frozen=True)
class BenchmarkOptions(Sizes):
    """Options of :func:`ds3d_tf.jobs.benchmark.benchmark`."""

    model: Annotated[
        str | None,
        Option("--model", "Trained model to localize with; a network with random weights if omitted.", "Model"),
    ] = None
    frames: Annotated[
        str | None, Option("--frames", "Recording on which bfloat16 is compared with float32.", INPUT)
    ] = None
    position: Position = None
    channel: Channel = None
