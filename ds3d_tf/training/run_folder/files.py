"""The files of a run folder: what a run may replace there."""

from __future__ import annotations

from ds3d_tf.common.outputs import MARKER_FILE, SAVED_MODEL_FILES
from ds3d_tf.evaluation.run import EVALUATION_FILES

RUN_FILES = (
    "setup.yaml",
    "mask.npy",
    "model.keras",
    "best_jaccard.keras",
    "checkpoint.npz",
    "history.csv",
    "curves.png",
    "card.md",
    "stretches.json",
    "parts.json",
    "logs/**/events.out.tfevents.*",
    *(f"saved_model/{name}" for name in SAVED_MODEL_FILES),
    *(f"evaluation/{name}" for name in (*EVALUATION_FILES, MARKER_FILE)),
)
