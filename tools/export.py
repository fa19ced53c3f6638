"""Write a trained model in a format for servers, instruments or other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds3d_tf.common import console


def main(
    run: Annotated[
        Path, typer.Option("--run", help="Run folder, folder of imported weights, or exported_models/NAME.")
    ],
    to: Annotated[str, typer.Option("--to", help="saved_model, tflite, onnx, openvino or bioimageio.")],
    out: Annotated[
        Path,
        typer.Option("--out", help="saved_model: folder that gets the next version OUT/1, OUT/2 …; else the file."),
    ],
    frames: Annotated[
        str | None, typer.Option("--frames", help="Recording to compare on; simulated frames if not given.")
    ] = None,
    check: Annotated[int, typer.Option("--check", help="Number of frames to compare on.")] = 8,
    weights: Annotated[str, typer.Option("--weights", help="tflite: float32, float16 or int8.")] = "float32",
    tile: Annotated[
        tuple[int, int] | None,
        typer.Option("--tile", help="tflite: rows and columns it takes; the frames of the setup if not given."),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", help="saved_model: frames of the sample recording beside it; 0 for none.")
    ] = 10,
    memory: Annotated[
        float | None, typer.Option("--memory", metavar="GB", help="Memory of the process while comparing. Default 4.")
    ] = None,
    overwrite: console.Overwrite = False,
) -> None:
    """Write a trained model in a format for servers, instruments or other programs.

    Before anything is written its localizations are compared with the Keras model's; float formats whose localizations
    are not the same are refused.
    """
    from ds3d_tf.jobs.export import export

    done = export(
        run,
        to,
        out,
        frames=frames,
        check=check,
        weights=weights,
        tile_px=tile,
        sample=sample,
        memory_gb=memory,
        overwrite=overwrite,
    )
    console.messages().print(done.summary(), soft_wrap=True)


if __name__ == "__main__":
    console.command(main)
