"""The models that come with the package, and the examples that run on them."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ds3d_tf.evaluation.matching import match
from ds3d_tf.evaluation.truth import read_truth
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.localization.tables.tables import from_table, read_table
from ds3d_tf.model.files import load_model_folder

FOLDER = Path(__file__).resolve().parents[2] / "exported_models"
VERSIONS = sorted(str(path.parent.relative_to(FOLDER)) for path in FOLDER.glob("*/*/saved_model.pb"))


@pytest.fixture(scope="module", params=VERSIONS)
def model(request):
    return FOLDER / request.param


def newest(name):
    """The version that a model's name stands for."""
    return max((path for path in (FOLDER / name).iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def test_the_sample_recording_gives_its_table(model, ds3d, tmp_path):
    sample = model / "sample"
    files = ["--frames", sample / "frames.tif", "--out", tmp_path / "a.csv"]
    done = ds3d("localize", "--no-refine", "--model", model, *files)
    assert done.returncode == 0, done.stderr
    expected = read_table(sample / "localizations.csv")
    assert len(expected) > 40
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), expected, atol=1e-2)


def test_the_sample_table_is_near_the_truth(model):
    sample = model / "sample"
    _, setup, _ = load_model_folder(model)
    found = read_table(sample / "localizations.csv")
    count, *shape = np.load(sample / "frames.npy").shape
    truth = read_truth(sample / "truth.csv", count, None, tuple(shape), setup)
    matched = 0
    for number, there in enumerate(truth, start=1):
        _, ours, _ = from_table(found[found["frame"] == number], tuple(shape), setup)
        matched += len(match(there.xyz_um, ours)[0])
    jaccard = matched / (len(found) + sum(len(there.xyz_um) for there in truth) - matched)
    assert jaccard > 0.6


def test_the_five_lines_of_the_readme(repository, tmp_path, monkeypatch, capsys):
    text = (repository / "README.md").read_text(encoding="utf-8")
    code = re.search(r"## Five lines of Python.*?```python\n(.*?)```", text, re.S).group(1)
    assert len([line for line in code.splitlines() if line]) <= 5
    sample = newest("tetrapod_4um") / "sample"
    shutil.copy(sample / "frames.tif", tmp_path / "recording.tif")
    monkeypatch.chdir(tmp_path)
    with pd.option_context("display.max_columns", None, "display.width", 1000):
        exec(compile(code, "README.md", "exec"), {})
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if re.match(r"\d", line)]
    expected = read_table(sample / "localizations.csv")
    assert len(rows) == len(expected)
    # Index and frame come first; x, y and z are in nm.
    found = np.array([row[2:5] for row in rows], float)
    np.testing.assert_allclose(found, expected[["x [nm]", "y [nm]", "z [nm]"]].to_numpy(), atol=0.5)


def test_as_tflite_it_takes_the_frames_of_the_sample(model, tmp_path):
    """Smaller frames than the network's borders take, so there is no tiling, and none is needed."""
    pytest.importorskip("ai_edge_litert", reason="the extra 'tflite' is not installed")
    from ds3d_tf.jobs.export import export

    frames = model / "sample" / "frames.tif"
    exported = export(model, "tflite", tmp_path / "a.tflite", frames=frames, check=4)
    assert exported.agreement.lost == exported.agreement.added == 0
    assert Localizer(tmp_path / "a.tflite").setup == Localizer(model).setup
