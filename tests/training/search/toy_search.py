"""A search whose trials take no time to speak of, as a process: ``python toy_search.py FOLDER SLOW_TRIAL LOG``.

With KERASTUNER_… in the environment it is a chief or a worker. The trial SLOW_TRIAL never ends.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ds3d_tf.training.search.trial
from ds3d_tf.jobs.tune import tune
from ds3d_tf.setup import load_setup
from ds3d_tf.training.search.search import TrialFailed

FOLDER, SLOW, LOG = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])


def train_trial(base, folder, values, *, previous=None, epochs=None, keep_checkpoint, show_progress) -> dict:
    with open(LOG, "a", encoding="utf-8") as stream:
        stream.write(f"{folder.name} {values['learning.learning_rate']} {values['learning.filters']}\n")
    if folder.name == SLOW:
        time.sleep(600)
    if folder.name == "trial_1":
        raise TrialFailed("loss is nan in epoch 1")
    if folder.name == "trial_4":
        raise RuntimeError("something else")
    # Both workers get something to do.
    time.sleep(0.3)
    return {"matched_jaccard": 1 - values["learning.learning_rate"], "val_loss": 1.0, "epoch": 1.0}


if __name__ == "__main__":
    ds3d_tf.training.search.trial.train_trial = train_trial
    tune(load_setup("quickstart_voxel"), FOLDER.parent / "space.yaml", FOLDER, trials=6)
