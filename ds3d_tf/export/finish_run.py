"""The end of a training: its best network is exported and evaluated, always with TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.file_names import EVALUATION_FOLDER, NETWORK_FILE, SAVED_MODEL_FOLDER
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.setup import Setup

EVALUATED_FRAMES = 200
EVALUATION_SEED = 1
CALIBRATION_FRAMES = 500


def finish_run(folder: str | Path, progress: Progress = no_progress) -> dict[str, Any]:
    """Export the network of a run folder as its SavedModel, evaluate that, and return the metrics.

    Raises InputError if a file cannot be read or written.
    """
    import keras

    folder = Path(folder)
    if keras.backend.backend() != "tensorflow":
        return _in_a_process_with_tensorflow(folder)
    from ds3d_tf.evaluation.run import evaluate
    from ds3d_tf.export.saved_model import export_saved_model
    from ds3d_tf.model.files import load_model_folder

    best, setup, mask_rad = load_model_folder(folder)
    if setup.learning.network == "pixel":
        best = _with_honest_uncertainties(best, setup, folder)
    _mark_older_evaluation(folder / EVALUATION_FOLDER)
    export_saved_model(best, setup, mask_rad, folder / SAVED_MODEL_FOLDER)
    out = folder / EVALUATION_FOLDER
    evaluation = evaluate(folder, out, count=EVALUATED_FRAMES, seed=EVALUATION_SEED, overwrite=True, progress=progress)
    return evaluation.metrics


def _with_honest_uncertainties(model: Any, setup: Setup, folder: Path) -> Any:
    """Return the network with its uncertainties calibrated on validation frames, and keep it in the run folder."""
    from ds3d_tf.training import examples
    from ds3d_tf.training.callbacks.best import write_network
    from ds3d_tf.training.sigma_calibration import calibrated

    model = calibrated(model, setup, examples(setup).validation, CALIBRATION_FRAMES)
    write_network(folder / NETWORK_FILE, model)
    return model


def _mark_older_evaluation(folder: Path) -> None:
    """Mark the evaluation of a run that an earlier version began, so that it can be replaced."""
    from ds3d_tf.common.outputs import mark_folder, read_marker, refuse_strangers
    from ds3d_tf.evaluation.run import EVALUATION_FILES

    if folder.is_dir() and read_marker(folder) is None:
        refuse_strangers(folder, EVALUATION_FILES, "folder of an evaluation")
        mark_folder(folder, "evaluate", EVALUATION_FILES)


def _in_a_process_with_tensorflow(folder: Path) -> dict[str, Any]:
    # Keras has one backend a process, and a SavedModel is TensorFlow's.
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-m", "ds3d_tf.export.finish_run", str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise InputError(f"{folder}: trained, but not exported and evaluated; see the message above")
    return json.loads(done.stdout.splitlines()[-1])


def main(folder: Path) -> None:
    """Finish the run in a folder and print its metrics as JSON."""
    print(json.dumps(finish_run(folder)))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
