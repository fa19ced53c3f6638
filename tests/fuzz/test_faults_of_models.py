"""Trainings and exports on disks that fail at every change: one line, and afterwards all that belongs there."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fault_layer import Killed, changes_of

from ds3d_tf.common import InputError
from ds3d_tf.jobs.export import export
from ds3d_tf.jobs.train import train
from ds3d_tf.model.files import load_model_folder, save_model_folder
from ds3d_tf.setup import load_setup

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))
FILES = {
    "saved_model": ("versions", ()),
    "tflite": ("n.tflite", ("ai_edge_litert",)),
    "onnx": ("n.onnx", ("onnxruntime", "tf2onnx", "onnx")),
    "openvino": ("n.xml", ("openvino",)),
    "bioimageio": ("n.zip", ("bioimageio.core",)),
}


def installed(name):
    return importlib.util.find_spec(name.split(".")[0]) is not None


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def chosen(changes, steps=10**6):
    """Return of each file the numbers of its first change and of its last, which is its renaming; ``steps`` at most."""
    places: dict[str, list[int]] = {}
    for number, path in enumerate(changes.paths):
        places.setdefault(re.sub(r"-[a-z0-9_]{8}(?=/|$)", "", path), []).append(number)
    numbers = sorted({number for own in places.values() for number in (own[0], own[-1])})
    return numbers[:: max(1, len(numbers) // steps)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from lively import frames, lively_network

    network, setup = lively_network("factors")
    folder = tmp_path_factory.mktemp("model")
    save_model_folder(folder / "run", network, setup, np.random.default_rng(0).uniform(-3, 3, (101, 101)))
    tifffile.imwrite(folder / "frames.tif", frames()[:1].astype(np.uint16), photometric="minisblack")
    return folder


def write(model, to, folder):
    return export(model / "run", to, folder / FILES[to][0], frames=model / "frames.tif", check=1, sample=0)


@pytest.mark.slow
@pytest.mark.parametrize("to", FILES)
@pytest.mark.parametrize("kill", [False, True])
def test_exports(model, tmp_path, to, kill):
    if not all(map(installed, FILES[to][1])):
        pytest.skip(f"{FILES[to][1]} not installed")
    (tmp_path / "whole").mkdir()
    with changes_of(tmp_path / "whole", None) as changes:
        write(model, to, tmp_path / "whole")
    expected = names(tmp_path / "whole")
    for failing in chosen(changes):
        folder = tmp_path / f"{failing}"
        folder.mkdir()
        error = Killed if kill else InputError
        with pytest.raises(error) as caught, changes_of(folder, failing, kill=kill):
            write(model, to, folder)
        if not kill:
            assert "\n" not in str(caught.value) and "cannot write" in str(caught.value), failing
            assert not [path for path in folder.rglob("*") if path.is_file()], failing
        write(model, to, folder)
        assert names(folder) == expected, failing


@pytest.fixture
def tiny_training(monkeypatch, tiny_changes):
    """Trainings of two steps, not traced, with a small evaluation."""
    from ds3d_tf.training import compile_network

    def compile_eagerly(model, setup):
        compile_network(model, setup)
        model.run_eagerly = True

    monkeypatch.setattr("ds3d_tf.training.compile_network", compile_eagerly)
    monkeypatch.setattr("ds3d_tf.training.callbacks.curves.draw_history", lambda *arguments: None)
    score = {"matched_jaccard": 0.5}
    monkeypatch.setattr("ds3d_tf.training.matched_score.matched_score", lambda *arguments: lambda model: dict(score))
    monkeypatch.setattr("ds3d_tf.export.finish_run.EVALUATED_FRAMES", 4)
    monkeypatch.setattr("ds3d_tf.export.finish_run.CALIBRATION_FRAMES", 4)
    monkeypatch.setenv("DS3D_SECONDS_BETWEEN_CHECKPOINTS", "0")

    def setup(network):
        counts = ("training_set.training_count=8", "training_set.validation_count=4", "learning.epochs=1")
        return load_setup("quickstart_voxel", [*tiny_changes, *counts, f"learning.network={network}"])

    return setup


@pytest.mark.slow
@pytest.mark.parametrize("network", ["voxel", "pixel"])
@pytest.mark.parametrize("kill", [False, True])
def test_trainings(tiny_training, tmp_path, network, kill):
    setup, whole = tiny_training(network), tmp_path / "whole" / "run"
    with changes_of(tmp_path / "whole", None) as changes:
        train(setup, whole)
    expected, weights = names(whole.parent), load_model_folder(whole)[0].get_weights()
    for failing in chosen(changes):
        out = tmp_path / f"{failing}" / "run"
        with pytest.raises(Killed if kill else InputError) as caught, changes_of(out.parent, failing, kill=kill):
            train(setup, out)
        if not kill:
            assert "\n" not in str(caught.value) and "cannot write" in str(caught.value), failing
            assert not list(out.parent.rglob(".partial-*")), failing
        resume = (out / "checkpoint.npz").is_file()
        train(setup, out, resume=resume, overwrite=not resume)
        assert names(out.parent) == expected, failing
        for mine, theirs in zip(load_model_folder(out)[0].get_weights(), weights, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-6)
