"""The files of a run folder: what a run may replace there."""

from __future__ import annotations

from ds3d_tf.common.file_names import (
    BEST_JACCARD_FILE,
    CARD_FILE,
    CHECKPOINT_FILE,
    CURVES_FILE,
    EVALUATION_FOLDER,
    HISTORY_FILE,
    LOGS_FOLDER,
    MASK_FILE,
    NETWORK_FILE,
    SAVED_MODEL_FOLDER,
    SETUP_FILE,
)
from ds3d_tf.common.outputs import MARKER_FILE, SAVED_MODEL_FILES
from ds3d_tf.evaluation.run import EVALUATION_FILES
from ds3d_tf.training.run_folder.parts import FORMER_PARTS_FILE, PARTS_FILE

RUN_FILES = (
    SETUP_FILE,
    MASK_FILE,
    NETWORK_FILE,
    BEST_JACCARD_FILE,
    CHECKPOINT_FILE,
    HISTORY_FILE,
    CURVES_FILE,
    CARD_FILE,
    PARTS_FILE,
    FORMER_PARTS_FILE,
    f"{LOGS_FOLDER}/**/events.out.tfevents.*",
    *(f"{SAVED_MODEL_FOLDER}/{name}" for name in SAVED_MODEL_FILES),
    *(f"{EVALUATION_FOLDER}/{name}" for name in (*EVALUATION_FILES, MARKER_FILE)),
)
