"""`ds3d learn-mask`: what it leaves, how it ends, and that its mask is worth having."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.io import loadmat

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.learn_mask import learn_mask
from ds3d_tf.model import LocalizationNet
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.training import compile_network, examples
from ds3d_tf.training.callbacks.checkpoint import read_checkpoint
from ds3d_tf.training.mask_files import MaskPictures

CHANGES = ("mask.source=flat", "mask.learning_rate=0.02", "volume.height_px=16", "volume.width_px=16")
FILES = {
    "setup.yaml", "start_mask.npy", "mask.npy", "mask.mat", "localization_setup.yaml", "pictures", "film.gif",
    "learned.png", "model.keras", "best_jaccard.keras", "history.csv", "curves.png", "checkpoint.npz",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def eager():
    """Run without graphs: the few steps here cost less than making them; the command in a process of its own does."""
    from tensorflow.python.framework.config import disable_op_determinism

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
    # Deterministic runs ask for it for the whole process; other tests draw without seeds.
    disable_op_determinism()


@pytest.fixture(scope="module")
def setup(tiny_changes) -> Setup:
    return load_setup("quickstart_voxel", [*tiny_changes, *CHANGES])


@pytest.fixture(scope="module")
def learned(setup, tmp_path_factory) -> Path:
    """The folder of a finished run of two epochs."""
    out = tmp_path_factory.mktemp("learned") / "run"
    run = learn_mask(setup, out, deterministic=True)
    assert run.ended == "finished" and run.epochs == 2 and run.best_epoch in (1, 2)
    assert set(run.bounds_nm) == {"start", "learned"} and str(out) in run.summary()
    return out


def test_files_of_a_run(learned, setup) -> None:
    from PIL import Image

    assert {path.name for path in learned.iterdir() if path.name != ".ds3d.json"} == FILES
    pictures = ["epoch_0000.png", "epoch_0001.png", "epoch_0002.png"]
    assert sorted(path.name for path in (learned / "pictures").iterdir()) == pictures
    with Image.open(learned / "film.gif") as film:
        assert film.n_frames == 3
    mask = np.load(learned / "mask.npy")
    np.testing.assert_array_equal(loadmat(learned / "mask.mat")["mask"], mask)
    np.testing.assert_array_equal(np.load(learned / "start_mask.npy"), load_mask(setup))
    assert mask.dtype == np.float64 and np.abs(mask).max() > 0.03

    # a run that resumes finds its setup; the one for localization stands by itself
    own = load_setup(learned / "setup.yaml")
    assert own.mask.learn and own.mask.source == "start_mask.npy" and own.optics == setup.optics
    ready = load_setup(learned / "localization_setup.yaml")
    assert not ready.mask.learn and ready.learning.scaling_factor == 800 and ready.volume == setup.volume
    np.testing.assert_array_equal(load_mask(ready), mask)


def test_the_learned_mask_trains_a_localization_network(learned, tiny_changes) -> None:
    mask = f"mask.source={learned / 'mask.npy'}"
    changes = [*CHANGES, mask, "learning.max_dilation=4", "learning.learning_rate=0.01"]
    setup = load_setup("quickstart_voxel", [*tiny_changes, *changes])
    np.testing.assert_array_equal(load_mask(setup), np.load(learned / "mask.npy"))
    model, data = LocalizationNet.from_setup(setup), examples(setup)
    compile_network(model, setup)
    losses = [float(model.train_on_batch(*batch)[0]) for batch in data.training]
    assert len(losses) == 8 and np.isfinite(losses).all() and losses[-1] < losses[0]


@pytest.mark.slow
def test_a_run_cut_off_goes_on_as_if_it_never_had(learned, setup, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DS3D_SECONDS_BETWEEN_CHECKPOINTS", "0")
    out, steps = tmp_path / "run", []

    def power_cut(self, batch, logs=None):
        steps.append(batch)
        if len(steps) == 6:
            raise OSError("power cut")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="power cut"):
        patch.setattr(MaskPictures, "on_train_batch_end", power_cut)
        learn_mask(setup, out, deterministic=True)
    stopped = read_checkpoint(out / "checkpoint.npz")
    assert (stopped.epoch, stopped.step) == (1, 1)
    with pytest.raises(InputError, match=r"mask\.learning_rate was 0\.02 and is 0\.03"):
        learn_mask(setup.replace({"mask.learning_rate": 0.03}), out, resume=True)
    run = learn_mask(None, out, resume=True, deterministic=True)
    assert run.epochs == 2
    whole = read_checkpoint(learned / "checkpoint.npz")
    for mine, theirs in zip(read_checkpoint(out / "checkpoint.npz").variables, whole.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(np.load(out / "mask.npy"), np.load(learned / "mask.npy"))
    tables = [pd.read_csv(folder / "history.csv")[["epoch", "loss", "val_loss"]] for folder in (out, learned)]
    pd.testing.assert_frame_equal(*tables)


def test_ctrl_c_keeps_the_mask(tiny_options, tmp_path) -> None:
    out = tmp_path / "run"
    changes = [word for change in [*CHANGES, "learning.epochs=1000"] for word in ("--set", change)]
    line = [sys.executable, "-m", "ds3d_tf", "learn-mask", *tiny_options, *changes]
    process = subprocess.Popen([*line, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 180
    while not (out / "history.csv").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=180)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr and "Traceback" not in stderr and "validation loss" in stderr
    assert {path.name for path in out.iterdir() if path.name != ".ds3d.json"} == FILES


def test_mistakes_leave_nothing_behind(setup, tmp_path) -> None:
    for changes, options, message in (
        ({"training_set.folder": str(tmp_path)}, {}, "frames on disk"),
        ({"mask.source": "absent.npy"}, {}, "not found"),
        ({}, {"resume": True}, "no checkpoint"),
        ({}, {"pictures_every": -1}, "pictures_every -1"),
    ):
        with pytest.raises(InputError, match=message):
            learn_mask(setup.replace(changes), tmp_path / "run", **options)
    with pytest.raises(InputError, match="setup is missing"):
        learn_mask(None, tmp_path / "run")
    assert not list(tmp_path.iterdir())
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"holds thesis\.txt"):
        learn_mask(setup, tmp_path, overwrite=True)


@pytest.mark.slow
def test_a_learned_mask_beats_a_flat_one_that_stays(tmp_path) -> None:
    from ds3d_tf.setup.setup import Setup

    setup = Setup.create(
        {
            "name": "small",
            "mask": {"source": "flat", "size_px": 101, "learning_rate": 0.02},
            "optics": {"slm_pixel_um": 60.3},
            "volume": {
                "height_px": 24, "width_px": 24, "margin_px": 6, "depth_voxels": 12,
                "z_min_um": 0.0, "z_max_um": 3.0, "focus_um": 1.2,
            },
            "emitters": {"count_range": [1, 4]},
            "signal": {"uniform_range": [8000.0, 20000.0]},
            "background": {"level": 20.0},
            "normalization": {"kind": "factors", "divide": 100.0},
            "training_set": {"training_count": 1600, "validation_count": 96},
            "learning": {
                "filters": 16, "scaling_factor": 100.0, "batch_size": 8, "epochs": 20, "learning_rate": 0.003,
                "schedule": "cosine", "peak_threshold": 10.0,
            },
        }
    )  # fmt: skip
    losses = {fixed: learn_mask(setup, tmp_path / str(fixed), fixed=fixed).validation_loss for fixed in (False, True)}
    assert losses[False] < 0.8 * losses[True], losses
