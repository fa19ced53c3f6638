"""Serve models over TensorFlow Serving's gRPC and REST interfaces."""

from __future__ import annotations

from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    model: Annotated[
        list[str],
        typer.Option("--model", metavar="[NAME=]DIR", help="Model folder, as for tools/localize.py; may be repeated."),
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of gRPC; 0 for a free one.")] = 8500,
    rest_port: Annotated[int, typer.Option("--rest-port", help="Port of REST; 0 for a free one.")] = 8501,
    parallel: Annotated[int, typer.Option("--parallel", help="Predictions at a time; memory grows with them.")] = 1,
    memory: Annotated[
        float | None, typer.Option("--memory", metavar="GB", help="What one request for a volume may take. Default 4.")
    ] = None,
    largest_request: Annotated[
        float, typer.Option("--largest-request", metavar="MB", help="Larger requests are refused.")
    ] = 64,
) -> None:
    """Serve models as TensorFlow Serving does, with Python alone.

    gRPC: Predict, GetModelMetadata, GetModelStatus.
    REST: /v1/models/NAME:predict and /v1/models/NAME/metadata, with /versions/N after the name for one version.
    A higher version that appears in a folder of numbered versions takes over. Ctrl-C stops it.
    """
    from ds3d_tf.jobs.serve import serve

    serve(
        model,
        host=host,
        port=port,
        rest_port=rest_port,
        parallel=parallel,
        memory_gb=memory,
        largest_request_mb=largest_request,
    )


if __name__ == "__main__":
    console.command(main)
