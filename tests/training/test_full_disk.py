"""A disk that is full while a run writes: what was whole before stays."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.model import LocalizationNet
from ds3d_tf.training import compile_network, examples, fit
from ds3d_tf.training.callbacks.best import write_network
from ds3d_tf.training.callbacks.checkpoint import read_checkpoint

resource = pytest.importorskip("resource", reason="needs limits of the operating system")


@contextlib.contextmanager
def room_for(size: int):
    """Let no file grow beyond ``size`` bytes: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class FullFrom(keras.callbacks.Callback):
    """The disk is full from the second epoch on."""

    def __init__(self, stack: contextlib.ExitStack, size: int) -> None:
        super().__init__()
        self.stack, self.size = stack, size

    def on_epoch_begin(self, epoch, logs=None) -> None:
        if epoch == 1:
            self.stack.enter_context(room_for(self.size))


def network(setup):
    model = LocalizationNet.from_setup(setup)
    compile_network(model, setup)
    model.run_eagerly = True
    return model


# The first file that is due in the second epoch, which has one step or two.
@pytest.mark.parametrize(("frames", "written"), [(4, "model.keras"), (8, "checkpoint.npz")])
def test_the_last_good_checkpoint_stays(quick_fit, tiny, tmp_path, frames, written):
    counts = {"training_set.training_count": frames, "training_set.validation_count": 4}
    setup = tiny.replace({**counts, "learning.epochs": 2})
    with contextlib.ExitStack() as stack, pytest.raises(InputError) as caught:
        full = FullFrom(stack, 2000)
        fit(
            network(setup),
            examples(setup),
            setup,
            tmp_path,
            callbacks=[full],
            show_progress=False,
            checkpoint_seconds=0,
        )
    why, advice = str(caught.value).split("; ")
    assert why == f"cannot write {tmp_path}/{written}: File too large"
    assert advice == "the last checkpoint is kept: free disk space and use resume"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".partial-")]

    start = read_checkpoint(tmp_path / "checkpoint.npz")
    assert (start.epoch, start.step) == (1, 0)
    keras.saving.load_model(tmp_path / "model.keras", compile=False)


def test_a_network_that_cannot_be_written_leaves_the_one_before(tiny, tmp_path):
    path = tmp_path / "model.keras"
    model = network(tiny)
    write_network(path, model)
    before = path.read_bytes()
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    with room_for(1000), pytest.raises(InputError, match=r"cannot write .*model\.keras: File too large"):
        write_network(path, model)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["model.keras"]
