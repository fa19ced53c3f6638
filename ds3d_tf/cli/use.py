"""Commands that use a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ds3d_tf.cli.options import (
    OUTPUT,
    Folder,
    Frames,
    ModelName,
    Overrides,
    Overwrite,
    SetupName,
    Table,
    setup_of,
    show,
)
from ds3d_tf.common import console
from ds3d_tf.common.options import Option
from ds3d_tf.options import (
    BenchmarkOptions,
    EvaluateOptions,
    ExportOptions,
    LocalizeOptions,
    ServeClientOptions,
    ServeOptions,
)
from ds3d_tf.options.use import ExportFormat

_CONNECTION = "Connection"


def localize(
    model: ModelName,
    frames: Frames,
    out: Table,
    options: LocalizeOptions,
    overwrite: Overwrite = False,
) -> None:
    """Localize the emitters of a recording into a table.

    Columns: frame (from 1); x [nm] and y [nm] from the frame's upper left corner; z [nm] from the lowest depth;
    intensity [au], the network's confidence. After an interruption, run the same command again to resume.
    """
    from ds3d_tf.jobs.localize import localize

    with console.bars("frames") as progress:
        result = localize(model, frames, out, options, overwrite=overwrite, progress=progress)
    show(result)


def evaluate(model: ModelName, out: Folder, options: EvaluateOptions, overwrite: Overwrite = False) -> None:
    """Measure how well a model localizes frames whose emitters are known.

    Writes metrics.json, localizations.csv, truth.csv and plots into a folder.
    """
    from ds3d_tf.jobs.evaluate import evaluate

    with console.bars("frames") as progress:
        result = evaluate(model, out, options, overwrite=overwrite, progress=progress)
    show(result)


def export(
    model: ModelName,
    to: Annotated[ExportFormat, Option("--to", "Format to write.", "Format")],
    out: Annotated[Path, Option("--out", "File to write; for saved_model the folder of the versions.", OUTPUT)],
    options: ExportOptions,
    overwrite: Overwrite = False,
) -> None:
    """Write a trained model in a format for servers, instruments or other programs.

    Before anything is written its localizations are compared with those of the Keras model; a float format whose
    localizations differ is refused.
    """
    from ds3d_tf.jobs.export import export

    with console.bars("frames") as progress:
        result = export(model, to, out, options, overwrite=overwrite, progress=progress)
    show(result)


def serve(
    models: Annotated[
        tuple[str, ...],
        Option("--model", "Trained model, or NAME=MODEL; may be repeated.", "Model", "[NAME=]MODEL"),
    ],
    options: ServeOptions,
) -> None:
    """Serve models as TensorFlow Serving does, with Python alone.

    gRPC: Predict, GetModelMetadata, GetModelStatus. REST: /v1/models/NAME:predict and /v1/models/NAME/metadata, with
    /versions/N after the name for one version. A higher version that appears in a folder of versions takes over. Ctrl-C
    stops the server.
    """
    from ds3d_tf.jobs.serve import serve

    serve(models, options)


def serve_client(
    server: Annotated[str, Option("--server", "host:port (gRPC), or http://host:port (REST).", _CONNECTION, "ADDRESS")],
    model: Annotated[str, Option("--model", "Name of the model on the server.", _CONNECTION)],
    frames: Frames,
    out: Table,
    options: ServeClientOptions,
    overwrite: Overwrite = False,
) -> None:
    """Localize the emitters of a recording with a prediction server.

    The table is that of 'ds3d localize'. After an interruption, run the same command again to resume.
    """
    from ds3d_tf.jobs.serve_client import serve_client

    with console.bars("frames") as progress:
        result = serve_client(server, model, frames, out, options, overwrite=overwrite, progress=progress)
    show(result)


def benchmark(
    options: BenchmarkOptions,
    parts: Annotated[
        tuple[str, ...],
        Option("", "simulate, loss, train, localize, peaks, render, or all; all if omitted.", metavar="PARTS"),
    ] = (),
    setup: SetupName = "demo1",
    out: Annotated[Path | None, Option("--out", "JSON file to write.", OUTPUT)] = None,
    overrides: Overrides = (),
    overwrite: Overwrite = False,
) -> None:
    """Measure how fast the parts of the package are on this machine.

    Two yardsticks are timed in the same run: 18 times two complex exponentials and one FFT of 203×203 pixels in NumPy
    (DeepSTORM3D takes 1.15 of it for a frame of its demo 1), and the matrix product in GFLOP/s.
    """
    from ds3d_tf.jobs.benchmark import benchmark

    with console.bars("timings") as progress:
        result = benchmark(parts, setup_of(setup, overrides), options, out=out, overwrite=overwrite, progress=progress)
    print(result.summary())


COMMANDS = (localize, evaluate, export, serve, serve_client, benchmark)
