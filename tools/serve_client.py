"""Localize the emitters of a recording by a prediction server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    server: Annotated[
        str, typer.Option("--server", help="host:8500 or grpcs://… for gRPC, http://host:8501 or https://… for REST.")
    ],
    model: Annotated[str, typer.Option("--model", help="Name of the model on the server.")],
    frames: Annotated[str, typer.Option("--frames", help="TIFF, multi-page TIFF, folder, or a glob in quotes.")],
    out: Annotated[Path, typer.Option("--out", help="Table to write: .csv, .parquet, or .hdf5 (Picasso).")],
    version: Annotated[
        int | None, typer.Option("--version", help="Version of the model; its highest if not given.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Smallest confidence; the model's own if not given.")
    ] = None,
    radius: Annotated[
        int | None, typer.Option("--radius", help="Radius of a peak, voxels; the model's own if not given.")
    ] = None,
    in_flight: Annotated[int, typer.Option("--in-flight", help="Requests at a time.")] = 4,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="After which a request without an answer is repeated.")
    ] = 120,
    patience: Annotated[
        float, typer.Option("--patience", metavar="SECONDS", help="For which a request is repeated before giving up.")
    ] = 300,
    certificates: Annotated[
        Path | None, typer.Option("--certificates", help="Root certificates (PEM); the system's if not given.")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave damaged frames out, and name them in OUT.log.")
    ] = False,
    overwrite: console.Overwrite = False,
) -> None:
    """Localize the emitters of a recording by TensorFlow Serving, or by tools/serve.py, into a table.

    The table is that of tools/localize.py. When the server goes away, requests are repeated until it is back; after
    an interruption the same command goes on where it stopped.
    """
    from ds3d_tf.jobs.serve_client import serve_client

    done = serve_client(
        server,
        model,
        frames,
        out,
        version=version,
        threshold=threshold,
        radius_voxels=radius,
        in_flight=in_flight,
        timeout_s=timeout,
        patience_s=patience,
        root_certificates=certificates,
        skip_damaged=skip_damaged,
        overwrite=overwrite,
    )
    console.messages().print(done.summary(), soft_wrap=True)


if __name__ == "__main__":
    console.command(main)
