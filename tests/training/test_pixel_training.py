"""Training a pixel network: resumed exactly, by the clock, its uncertainties made honest."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.file_names import CHECKPOINT_FILE, HISTORY_FILE
from ds3d_tf.model import PixelNet, network_from_setup
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.training import compile_network, examples, fit, sigma_calibration
from ds3d_tf.training.callbacks import by_the_clock
from ds3d_tf.training.callbacks.by_the_clock import ByTheClock
from ds3d_tf.training.callbacks.checkpoint import read_checkpoint
from ds3d_tf.training.compiling import learning_rate, learning_rate_after, optimizer
from ds3d_tf.training.run_folder.resumed_examples import resumed_examples
from ds3d_tf.training.run_folder.starting_weights import start_from
from ds3d_tf.training.sigma_calibration import calibrated


@pytest.fixture(scope="module")
def tiny_pixel(tiny_changes) -> Setup:
    return load_setup("quickstart_voxel", [*tiny_changes, "learning.network=pixel", "learning.crop_px=16"])


def network(setup: Setup) -> PixelNet:
    model = network_from_setup(setup)
    compile_network(model, setup)
    model.run_eagerly = True
    return model


class InterruptAt(keras.callbacks.Callback):
    def __init__(self, epoch: int, step: int) -> None:
        super().__init__()
        self.at, self.epoch = (epoch, step), 0

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None) -> None:
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


@pytest.fixture
def deterministic():
    """Deterministic runs ask for it for the whole process; other tests draw without seeds."""
    from tensorflow.python.framework.config import disable_op_determinism

    tf.config.experimental.enable_op_determinism()
    yield
    disable_op_determinism()


@pytest.mark.usefixtures("deterministic")
def test_a_run_resumed_in_an_epoch_ends_as_if_undisturbed(tiny_pixel, tmp_path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder, callbacks in ((whole, []), (broken, [InterruptAt(1, 2)])):
        folder.mkdir()
        fit(network(tiny_pixel), examples(tiny_pixel), tiny_pixel, folder, callbacks=callbacks, show_progress=False,
            checkpoint_seconds=0)  # fmt: skip
    start = read_checkpoint(broken / CHECKPOINT_FILE)
    assert (start.epoch, start.step) == (1, 2)
    data, unfinished = resumed_examples(lambda *place: examples(tiny_pixel, *place), start)
    fit(network(tiny_pixel), data, tiny_pixel, broken, show_progress=False, start=start, unfinished=unfinished)
    one, other = (read_checkpoint(folder / CHECKPOINT_FILE) for folder in (whole, broken))
    assert (other.epoch, other.step) == (2, 0)
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_schedule_is_keras_own_at_every_step(tiny_pixel) -> None:
    """Warm-up and cosine by steps is Keras's; by the clock it is the same curve."""
    setup = tiny_pixel.replace({"learning.epochs": 10, "learning.warm_up": 0.1})
    schedule = learning_rate(setup)
    steps = 10 * 4
    for step in range(0, steps + 1, 4):
        assert float(schedule(step)) == pytest.approx(learning_rate_after(setup, step / steps), rel=1e-4, abs=1e-9)


def test_optimizer_of_each_network(tiny_pixel) -> None:
    own = optimizer(tiny_pixel)
    assert isinstance(own, keras.optimizers.AdamW)
    assert own.global_clipnorm == 20
    model = network(tiny_pixel)
    decayed = [w.path for w in model.trainable_variables if model.optimizer._use_weight_decay(w)]
    assert decayed
    assert all(path.endswith("kernel") for path in decayed)
    assert type(optimizer(load_setup("quickstart_voxel"))) is keras.optimizers.Adam


def test_a_run_by_the_clock(tiny_pixel, tmp_path, monkeypatch) -> None:
    """Every step takes a minute of a clock made for the test; the run takes five of them, in its second epoch."""
    setup = tiny_pixel.replace({"learning.minutes": 5.5, "learning.epochs": 50})
    now = [0.0]
    monkeypatch.setattr(by_the_clock.time, "monotonic", lambda: now[0])
    rates = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None) -> None:
            rates.append(float(self.model.optimizer.learning_rate))
            now[0] += 60

    outcome = fit(network(setup), examples(setup), setup, tmp_path, callbacks=[Watch()], show_progress=False)
    # The clock is looked at before our own hand moves it: the seventh step is the first that begins too late.
    assert len(rates) == 7
    assert outcome.ended == "finished"
    assert len(outcome.rows) == 2
    expected = [learning_rate_after(setup, min(minute / 5.5, 1)) for minute in range(7)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-12)
    start = read_checkpoint(tmp_path / CHECKPOINT_FILE)
    again = ByTheClock(setup, 4)
    again.spent_s = next(state["spent_s"] for state in start.facts["callbacks"] if "spent_s" in state)
    assert again.over
    assert (tmp_path / HISTORY_FILE).is_file()


def test_calibration_makes_the_spread_of_errors_the_stated_one(tiny_pixel, monkeypatch) -> None:
    model = network(tiny_pixel)
    rng = np.random.default_rng(0)
    wrong = np.array([2.0, 0.5, 1.5, 3.0])
    truth = np.zeros((1, 400, 6))
    truth[0, :, :3] = rng.uniform(0, 1000, (400, 3))
    truth[0, :, 3], truth[0, :, 4] = 1, 1000
    stated = rng.uniform([0.01, 0.01, 0.02, 50], [0.02, 0.02, 0.03, 100], (1, 400, 4))
    error = stated * wrong * rng.normal(size=(1, 400, 4))
    details = np.concatenate([1000 + error[..., 3:], np.zeros((1, 400, 1)), stated], axis=-1)
    measured = (truth[..., :3] + error[..., :3], np.ones((1, 400)), np.array([400]), details)
    monkeypatch.setattr(sigma_calibration, "network_measurer", lambda *_: lambda _: tuple(map(tf.constant, measured)))
    batches = [(np.zeros((1, 20, 24)), tf.constant(truth))]
    better = calibrated(model, tiny_pixel, batches)
    np.testing.assert_allclose(better.maps.sigma_factors, wrong, rtol=0.1)
    frames = rng.normal(size=(1, 20, 24)).astype(np.float32)
    before, after = np.asarray(model(frames)), np.asarray(better(frames))
    np.testing.assert_allclose(after[..., 5:9], before[..., 5:9] * better.maps.sigma_factors, rtol=1e-5)
    np.testing.assert_allclose(np.delete(after, range(5, 9), -1), np.delete(before, range(5, 9), -1), rtol=1e-6)
    # And they are stored with the model.
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(better))
    assert again.maps.sigma_factors == better.maps.sigma_factors


def test_too_few_emitters_leave_the_uncertainties_alone(tiny_pixel) -> None:
    model = network(tiny_pixel)
    assert calibrated(model, tiny_pixel, examples(tiny_pixel).validation, 4) is model


def test_the_other_network_is_refused(tiny_pixel, tiny_changes, tmp_path, mask_rad) -> None:
    from ds3d_tf.model.files import save_model_folder

    voxel = load_setup("quickstart_voxel", list(tiny_changes))
    save_model_folder(tmp_path / "voxel", network_from_setup(voxel), voxel, mask_rad)
    with pytest.raises(InputError, match=r"a voxel network, the setup asks for a pixel network; set learning\.network"):
        start_from(network_from_setup(tiny_pixel), tmp_path / "voxel")


def test_defaults_follow_the_network() -> None:
    voxel = load_setup("quickstart_voxel")
    assert voxel.learning.network == "voxel"
    # A voxel setup's scale and threshold are no probabilities; what else it says stays.
    pixel = load_setup("quickstart_voxel", ["learning.network=pixel"])
    assert (pixel.learning.scaling_factor, pixel.learning.peak_threshold) == (1.0, 0.4)
    assert pixel.learning.filters == voxel.learning.filters
    own = Setup.from_yaml("learning: {network: pixel}")
    assert (own.learning.filters, own.learning.batch_size, own.learning.schedule) == (32, 16, "cosine")
    assert Setup.from_yaml(own.to_yaml()) == own
    chosen = load_setup("quickstart_voxel", ["learning.network=pixel", "learning.peak_threshold=0.7"])
    assert chosen.learning.peak_threshold == 0.7
