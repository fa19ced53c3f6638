"""Runs that start from an earlier network, with frozen and re-initialised layers."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs import train as job
from ds3d_tf.model import LocalizationNet
from ds3d_tf.model.files import load_model_folder
from ds3d_tf.setup import load_setup
from ds3d_tf.training import compile_network, examples
from ds3d_tf.training.run_folder.starting_point import prepare_network

FROZEN = ("frame_norm", "features_*")


@pytest.fixture(scope="module")
def quick(quick_fit):
    """Runs without what follows the training."""
    quick_fit.setattr(importlib.import_module("ds3d_tf.export.finish_run"), "finish_run", lambda *arguments: {})


@pytest.fixture(scope="module")
def tiny(tiny):
    return tiny.replace({"training_set.training_count": 8, "training_set.validation_count": 4})


@pytest.fixture(scope="module")
def source(quick, tiny, tmp_path_factory):
    """A run of two epochs."""
    out = tmp_path_factory.mktemp("source") / "run"
    job.train(tiny.replace({"learning.epochs": 2}), out)
    return out


@pytest.fixture(scope="module")
def transferred(source, tiny, tmp_path_factory):
    """A run from it, for other light, whose first layers are frozen; resumed once."""
    out = tmp_path_factory.mktemp("transferred") / "run"
    changes = {"resuming.checkpoint": str(source), "resuming.frozen_layers": FROZEN, "learning.epochs": 1}
    setup = tiny.replace({"optics.wavelength_um": 0.669, **changes})
    job.train(setup, out)
    first = load_model_folder(out)[0]
    job.train(setup.replace({"learning.epochs": 2}), out, resume=True)
    return out, first


def weights(model) -> dict[str, list[np.ndarray]]:
    return {layer.name: [np.asarray(variable) for variable in layer.variables] for layer in model.layers}


def test_frozen_layers_stay_to_the_bit_and_others_learn(source, transferred):
    out, first = transferred
    before = weights(load_model_folder(source)[0])
    assert list(pd.read_csv(out / "history.csv").epoch) == [1, 2]
    for model in (first, load_model_folder(out)[0]):
        for name, values in weights(model).items():
            same = [np.array_equal(one, other) for one, other in zip(values, before[name], strict=True)]
            # Batch normalization's statistics are among them.
            assert all(same) if name == "frame_norm" or name.startswith("features") else not any(same), name


def test_frozen_batch_normalization_works_as_in_inference(source, tiny):
    model = LocalizationNet.from_setup(tiny)
    setup = tiny.replace({"resuming.checkpoint": str(source), "resuming.frozen_layers": ("features_1",)})
    prepare_network(model, setup, load=True)
    images = np.random.default_rng(0).normal(3, 5, (2, 12, 12, 1)).astype(np.float32)
    for name, frozen in (("features_1", True), ("frame_norm", False)):
        layer = model.get_layer(name)
        same = np.array_equal(np.asarray(layer(images, training=True)), np.asarray(layer(images, training=False)))
        assert same is frozen, name


def test_a_run_begins_with_the_validation_loss_of_its_start(source, tiny):
    again = tiny.replace({"learning.epochs": 2, "resuming.checkpoint": str(source)})
    model = LocalizationNet.from_setup(again)
    told = prepare_network(model, again, load=True)
    assert told == [f"starts from {source}"]
    compile_network(model, again)
    loss = model.evaluate(examples(again).validation, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(pd.read_csv(source / "history.csv").val_loss.min(), rel=1e-5)


def test_fresh_layers_begin_anew(source, tiny):
    setup = tiny.replace(
        {
            "volume.depth_voxels": 6,
            "resuming.checkpoint": str(source),
            "resuming.fresh_layers": ("depth_*", "voxels"),
        }
    )
    model = LocalizationNet.from_setup(setup)
    fresh = weights(model)
    told = prepare_network(model, setup, load=True)
    assert "volume.depth_voxels was 5 and is 6" in told[0]
    before = weights(load_model_folder(source)[0])
    for name, values in weights(model).items():
        expected = fresh if name == "voxels" or name.startswith("depth") else before
        assert all(np.array_equal(one, other) for one, other in zip(values, expected[name], strict=True)), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning.filters": 8}, r"weights .* do not fit: features_1 3×3×1×4 there, 3×3×1×8 here"),
        ({"volume.depth_voxels": 6}, r"depth_1 3×3×4×5 there, 3×3×4×6 here.*fresh 'depth_\*'"),
        ({"learning.max_dilation": 16}, r"learning.max_dilation do not fit: features_5 1 there, 8 here"),
        ({"learning.scaling_factor": 100.0}, r"learning.scaling_factor do not fit: 800 there, 100 here"),
        ({"resuming.frozen_layers": ("feature_1",)}, r"freeze feature_1: no layer .* did you mean `features_1`\?"),
        ({"resuming.frozen_layers": ("conv*",)}, r"the layers are frame_norm, features_1, .*, depth_3, voxels"),
        ({"resuming.frozen_layers": ("*",)}, "nothing is left to learn"),
        ({"resuming.fresh_layers": ("x",)}, "fresh x: no layer has this name"),
        ({"resuming.checkpoint": "nowhere"}, "nowhere: no such model folder"),
        ({"resuming.checkpoint": None, "resuming.fresh_layers": ("voxels",)}, "fresh .* needs start"),
    ],
)
def test_mistakes_are_told_and_leave_nothing_behind(source, tiny, tmp_path, changes, message):
    setup = tiny.replace({"resuming.checkpoint": str(source), **changes})
    with pytest.raises(InputError, match=message) as caught:
        job.train(setup, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_keeps_its_frozen_layers(transferred):
    out, _ = transferred
    setup = load_model_folder(out)[1]
    assert setup.resuming.frozen_layers == FROZEN
    with pytest.raises(InputError, match=r"resuming\.frozen_layers was .* and is \[\]"):
        job.train(setup.replace({"resuming.frozen_layers": ()}), out, resume=True)


def test_weights_of_another_kind_are_refused(tiny, tmp_path):
    (tmp_path / "weights.pkl").touch()
    with pytest.raises(InputError, match=r"weights.pkl: this is a file; .*ds3d import-weights"):
        job.train(tiny.replace({"resuming.checkpoint": str(tmp_path / "weights.pkl")}), tmp_path / "run")


def test_published_weights_are_a_start_for_another_microscope(data, tmp_path):
    pytest.importorskip("torch")
    from ds3d_tf.model.files import save_model_folder
    from ds3d_tf.model.torch_weights import network_from_state, read_state

    published = network_from_state(read_state(data / "weights" / "tetrapod_telomere_demo3.pkl"))
    save_model_folder(tmp_path, published, load_setup("demo3"), np.zeros((329, 329)))
    setup = load_setup("demo3", [f"resuming.checkpoint={tmp_path}", "resuming.frozen_layers=[features_*, frame_norm]"])
    model = LocalizationNet.from_setup(setup.replace({"volume.focus_um": 4.0}))
    told = prepare_network(model, setup.replace({"volume.focus_um": 4.0}), load=True)
    assert "volume.focus_um was 4.5 and is 4.0" in told[0] and told[1].startswith(
        "frozen layers: frame_norm, features_1"
    )
    for one, other in zip(model.get_weights(), published.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The frozen layers hold 64 filters: 640 numbers, 5 times 65 × 64 × 9 + 64, twice 64 of each normalization.
    frozen = 2 + 640 + 5 * (65 * 64 * 9 + 64) + 6 * 128
    assert sum(np.size(value) for value in model.trainable_variables) == published.count_params() - frozen - sum(
        np.size(value) for value in published.non_trainable_variables
    )
