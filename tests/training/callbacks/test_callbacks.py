"""The parts of a run by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.model import LocalizationNet
from ds3d_tf.training.callbacks.best import KeepBest
from ds3d_tf.training.callbacks.curves import draw_history
from ds3d_tf.training.callbacks.finite import LossNotFinite, StopWhenNotFinite
from ds3d_tf.training.compiling import compile_network


@pytest.mark.parametrize(
    ("higher", "values", "expected"),
    [(False, [3, float("nan"), 2.9999, 3.5, 2], [1, 1, 3, 3, 5]), (True, [0.1, 0.3, 0.2, float("inf")], [1, 2, 2, 2])],
)
def test_keep_best(tmp_path, higher, values, expected):
    keep = KeepBest(tmp_path / "best.keras", "score", higher)
    keep.set_model(LocalizationNet(2, filters=1))
    epochs = []
    for epoch, value in enumerate(values):
        keep.on_epoch_end(epoch, {"score": value})
        epochs.append(keep.epoch)
    assert epochs == expected
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]


def test_keep_best_without_the_value(tmp_path):
    keep = KeepBest(tmp_path / "best.keras", "score")
    keep.set_model(LocalizationNet(2, filters=1))
    keep.on_epoch_end(0, {"loss": 1.0})
    assert keep.value is None
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_an_input_error(tmp_path):
    (tmp_path / "file").touch()
    keep = KeepBest(tmp_path / "file" / "best.keras", "score")
    keep.set_model(LocalizationNet(2, filters=1))
    with pytest.raises(InputError, match="cannot write"):
        keep.on_epoch_end(0, {"score": 1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(value):
    stop = StopWhenNotFinite(every_steps=10)
    stop.on_epoch_begin(3)
    stop.on_train_batch_end(5, {"loss": value})
    with pytest.raises(LossNotFinite, match=rf"^loss is {value} in epoch 4, by step 10$"):
        stop.on_train_batch_end(9, {"loss": value})
    with pytest.raises(LossNotFinite, match=rf"^validation loss is {value} in epoch 4$"):
        stop.on_epoch_end(3, {"loss": 1.0, "val_loss": value})
    stop.on_epoch_end(3, {"loss": 1.0, "val_loss": 2.0})


def row(epoch: int, **values: float) -> dict[str, float]:
    return {"epoch": epoch, "loss": 10 / epoch, "val_loss": 12 / epoch, "learning_rate": 1e-3, **values}


@pytest.mark.parametrize(
    "rows",
    [
        [row(1)],
        [row(1, jaccard=0.0, matched_jaccard=0.0), row(2, jaccard=0.1, matched_jaccard=0.5, rmse_lateral_nm=60.0)],
        [row(epoch, loss=0.0) for epoch in range(1, 60)],
    ],
)
def test_curves(tmp_path, rows):
    from matplotlib.image import imread

    draw_history(rows, tmp_path / "curves.png", "a run")
    image = imread(tmp_path / "curves.png")
    assert image.shape[:2] == (840, 1680)
    assert image[..., :3].std() > 0.05


def test_compiled_as_the_setup_says(tiny):
    model = LocalizationNet.from_setup(tiny)
    compile_network(model, tiny, jit_compile=False)
    assert float(model.optimizer.learning_rate) == np.float32(tiny.learning.learning_rate)
    assert model.loss.grid.depth_voxels == tiny.volume.depth_voxels
    assert model.loss.scaling_factor == tiny.learning.scaling_factor
    assert not model.jit_compile
