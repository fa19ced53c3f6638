"""A training run: what it learns, keeps, writes, and how it ends."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest

from ds3d_tf.common.file_names import BEST_JACCARD_FILE, CHECKPOINT_FILE, CURVES_FILE, HISTORY_FILE, NETWORK_FILE
from ds3d_tf.model import LocalizationNet
from ds3d_tf.training import compile_network, examples, fit


def network(setup, eager: bool = True) -> LocalizationNet:
    """A compiled network; one that runs eagerly starts at once, one that does not trains as users do."""
    model = LocalizationNet.from_setup(setup)
    compile_network(model, setup)
    model.run_eagerly = eager
    return model


class During(keras.callbacks.Callback):
    """Calls a function at a step (epoch, step), both from 0."""

    def __init__(self, at, action) -> None:
        super().__init__()
        self.at, self.action, self.epoch = at, action, 0

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None) -> None:
        if (self.epoch, batch) == self.at:
            self.action(self.model)


def interrupt(model) -> None:
    raise KeyboardInterrupt


def break_weights(model) -> None:
    kernel = model.get_layer("voxels").convolution.kernel
    kernel.assign(np.full(kernel.shape, np.nan))


def volume_of(path) -> np.ndarray:
    frames = np.random.default_rng(0).normal(size=(1, 12, 12)).astype(np.float32)
    return keras.saving.load_model(path, compile=False)(frames).numpy()


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A whole run with a score, and the states of the network after each epoch."""
    folder = tmp_path_factory.mktemp("run")
    kept = []
    model = network(tiny, eager=False)
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
    scores = iter([{"matched_jaccard": 0.1}, {"matched_jaccard": 0.2, "rmse_lateral_nm": 50.0}, {"matched_jaccard": 0}])
    outcome = fit(
        model, examples(tiny), tiny, folder, score=lambda net: next(scores), callbacks=[keep], show_progress=False
    )
    return folder, outcome, kept


def test_files_and_history(run):
    folder, outcome, _ = run
    assert outcome.ended == "finished"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [NETWORK_FILE, BEST_JACCARD_FILE, CHECKPOINT_FILE, CURVES_FILE, HISTORY_FILE]
    )
    history = pd.read_csv(folder / HISTORY_FILE)
    assert list(history["epoch"]) == [1, 2, 3]
    assert list(history["matched_jaccard"]) == [0.1, 0.2, 0]
    assert list(history["rmse_lateral_nm"].isna()) == [True, False, True]
    assert np.allclose(history["learning_rate"], 3e-3)
    for name in ("loss", "val_loss", "jaccard", "val_jaccard", "seconds"):
        assert np.isfinite(history[name]).all()
        assert history[name].tolist() == pytest.approx([row[name] for row in outcome.rows], rel=1e-6)


def test_it_learns(run):
    losses = [row["loss"] for row in run[1].rows]
    assert losses[2] < 0.95 * losses[0]


def test_the_best_networks_are_kept(run, tiny):
    folder, outcome, kept = run
    for name, values, best in (
        (NETWORK_FILE, [row["val_loss"] for row in outcome.rows], np.argmin),
        (BEST_JACCARD_FILE, [row["val_jaccard"] for row in outcome.rows], np.argmax),
    ):
        model = keras.saving.load_model(folder / name, compile=False)
        for found, expected in zip(model.get_weights(), kept[best(values)], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert outcome.best_epoch == 1 + np.argmin([row["val_loss"] for row in outcome.rows])


def test_same_seed_same_run(tiny, tmp_path):
    setup = tiny.replace({"learning.epochs": 1})
    twice = [fit(network(setup), examples(setup), setup, tmp_path, show_progress=False) for _ in range(2)]
    for one, other in zip(*(outcome.rows for outcome in twice), strict=True):
        for name in ("loss", "val_loss", "val_jaccard"):
            # Sums over threads may round differently.
            assert one[name] == pytest.approx(other[name], rel=1e-3)


def test_ctrl_c_keeps_the_best(tiny, tmp_path):
    outcome = fit(
        network(tiny), examples(tiny), tiny, tmp_path, callbacks=[During((1, 2), interrupt)], show_progress=False
    )
    assert outcome.ended == "interrupted"
    assert [row["epoch"] for row in outcome.rows] == [1]
    assert outcome.best_epoch == 1
    assert np.isfinite(volume_of(tmp_path / NETWORK_FILE)).all()
    assert (tmp_path / CURVES_FILE).is_file()


def test_ctrl_c_in_the_first_epoch_keeps_what_was_learned(tiny, tmp_path):
    model = network(tiny)
    fresh = model.get_layer("voxels").convolution.kernel.numpy()
    outcome = fit(model, examples(tiny), tiny, tmp_path, callbacks=[During((0, 2), interrupt)], show_progress=False)
    assert (outcome.ended, outcome.rows, outcome.best_epoch) == ("interrupted", [], 0)
    kept = keras.saving.load_model(tmp_path / NETWORK_FILE, compile=False)
    kernel = kept.get_layer("voxels").convolution.kernel.numpy()
    assert not np.array_equal(kernel, fresh)
    assert np.array_equal(kernel, model.get_layer("voxels").convolution.kernel.numpy())


def test_a_loss_that_is_not_finite_ends_the_run(tiny, tmp_path):
    outcome = fit(
        network(tiny), examples(tiny), tiny, tmp_path, callbacks=[During((1, 1), break_weights)], show_progress=False
    )
    assert outcome.ended == "not_finite"
    assert outcome.detail == "loss is nan in epoch 2"
    assert [row["epoch"] for row in outcome.rows] == [1]
    assert np.isfinite(volume_of(tmp_path / NETWORK_FILE)).all()


def test_schedule(tiny, tmp_path):
    """Without improvement the rate falls tenfold after 5 epochs and the run ends after 7."""
    setup = tiny.replace({"learning.epochs": 20, "training_set.training_count": 4, "training_set.validation_count": 4})

    class NoImprovement(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None) -> None:
            # Better by less than 1e-4 is not better.
            logs["val_loss"] = 5 - 0.5e-4 * epoch / 20

    outcome = fit(network(setup), examples(setup), setup, tmp_path, callbacks=[NoImprovement()], show_progress=False)
    assert outcome.ended == "early"
    rates = [row["learning_rate"] for row in outcome.rows]
    assert rates == pytest.approx([3e-3] * 6 + [3e-4] * 2)
    assert outcome.best_epoch == 8, "the file follows every improvement, however small"


def test_cosine_schedule(tiny, tmp_path):
    setup = tiny.replace({"learning.schedule": "cosine", "learning.epochs": 2, "training_set.training_count": 8})
    outcome = fit(network(setup), examples(setup), setup, tmp_path, show_progress=False)
    # Half of the way after one of two epochs, a hundredth at the end.
    assert [row["learning_rate"] for row in outcome.rows] == pytest.approx([0.505 * 3e-3, 0.01 * 3e-3], rel=1e-4)


def test_progress_says_losses_and_time_left(tiny, tmp_path, capfd):
    setup = tiny.replace({"learning.epochs": 2})
    fit(network(setup), examples(setup), setup, tmp_path, score=lambda net: {"matched_jaccard": 0.25})
    text = capfd.readouterr().err
    for expected in ("epoch 1/2", "epoch 2/2", "validation loss", "matched Jaccard 0.250", "left", "steps/s"):
        assert expected in text


def test_mixed_precision(tiny, tmp_path):
    setup = tiny.replace({"learning.precision": "mixed_bfloat16", "learning.epochs": 1})
    model = network(setup)
    assert model.get_layer("depth_1").compute_dtype == "bfloat16"
    outcome = fit(model, examples(setup), setup, tmp_path, show_progress=False)
    assert np.isfinite(outcome.rows[0]["loss"])


def test_nothing_seeds_globally(tiny, tmp_path):
    import random

    import tensorflow as tf

    setup = tiny.replace({"learning.epochs": 1})
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(network(setup), examples(setup), setup, tmp_path, show_progress=False)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert tf.compat.v1.get_default_graph().seed is None
