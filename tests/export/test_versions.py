"""Folders of numbered versions: what is in them, which one is taken, and twenty lines that need TensorFlow only."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from ds3d_tf.common import InputError
from ds3d_tf.common.versions import highest_version, next_version
from ds3d_tf.jobs.export import export
from ds3d_tf.jobs.localize import localize as localize_job
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.localization.tables.tables import read_table
from ds3d_tf.model.files import load_model_folder, save_model_folder

sys.path.insert(0, str(Path(__file__).parent))
from lively import frames, lively_network

# The network alone: its answers are known by hand.
localize = functools.partial(localize_job, refine=False)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, mask_rad):
    """Version 2 of a model, made of version 1, with a sample recording of given frames."""
    root = tmp_path_factory.mktemp("versions")
    network, setup = lively_network("factors")
    save_model_folder(root / "name" / "1", network, setup, mask_rad)
    (root / "name" / "1" / "card.md").write_text("# A card\n")
    tifffile.imwrite(root / "frames.tif", frames(3).astype(np.uint16), photometric="minisblack")
    done = export(root / "name", "saved_model", root / "name", frames=root / "frames.tif", check=1, sample=3)
    assert done.path == root / "name" / "2" and done.agreement.share(0.5) == 1
    return root / "name"


def test_what_a_version_holds(shipped):
    assert sorted(path.name for path in shipped.iterdir()) == ["1", "2"]
    # Servers want the graph in the version folder itself.
    assert (shipped / "2" / "saved_model.pb").is_file() and (shipped / "2" / "variables").is_dir()
    names = {path.name for path in (shipped / "2").iterdir()}
    assert {"card.md", "agreement.json", "model.keras", "setup.yaml", "mask.npy", "sample", "assets"} <= names
    assert np.load(shipped / "2" / "sample" / "frames.npy").dtype == np.uint16


def test_the_highest_version_is_taken(shipped, tmp_path):
    assert Localizer(shipped).path == shipped / "2" and Localizer(shipped / "2").path == shipped / "2"
    model, setup, mask = load_model_folder(shipped)
    assert model.receptive_radius_px == 12 and setup.normalization.subtract == 100 and mask.shape == (101, 101)
    for name, number in (("10", 11), ("9", 11), ("card.md", 11), ("12", 13)):
        (tmp_path / name).mkdir()
        assert next_version(tmp_path).name == (str(number) if name != "card.md" else "11")
    assert highest_version(tmp_path, "saved_model.pb") is None and next_version(tmp_path / "new").name == "1"


def test_the_sample_and_its_table(shipped, tmp_path):
    sample = shipped / "2" / "sample"
    localize(shipped, sample / "frames.tif", tmp_path / "a.csv")
    assert len(read_table(tmp_path / "a.csv")) > 5
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), read_table(sample / "localizations.csv"), atol=1e-2)
    np.testing.assert_array_equal(tifffile.imread(sample / "frames.tif"), np.load(sample / "frames.npy"))


def test_a_saved_model_is_no_folder_of_versions(shipped):
    with pytest.raises(InputError, match="not a folder of numbered versions"):
        export(shipped, "saved_model", shipped / "2")


def code_of_the_docs(repository, folder):
    """The Python block of the chapter "Only TensorFlow", for another model."""
    text = (repository / "docs" / "export.md").read_text(encoding="utf-8")
    code = re.search(r"## Only TensorFlow.*?```python\n(.*?)```", text, re.S).group(1)
    assert len(code.splitlines()) <= 20
    changed, times = re.subn(r'^folder = ".*"$', f"folder = {str(folder)!r}", code, flags=re.M)
    assert times == 1
    return changed


def printed_table(python, code, folder, *options):
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DS3D_DATA")}
    done = subprocess.run(
        [str(python), *options, "-c", code],
        cwd=folder,
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder / "printed.csv").write_text(done.stdout)
    return pd.read_csv(folder / "printed.csv")


def distributions_of_tensorflow():
    """TensorFlow and all that is installed with it and nothing else."""
    needed, todo = set(), ["tensorflow"]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in needed:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        needed.add(name)
        todo += [re.match(r"[\w.-]+", line).group() for line in required if "extra ==" not in line]
    return needed


FORBID_ALL_ELSE = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {forbidden!r}:
            raise ImportError("not installed here: " + name)
sys.meta_path.insert(0, Forbid())
"""


def test_twenty_lines_with_tensorflow_only(repository, shipped, tmp_path):
    """All packages that do not come with TensorFlow are made unavailable, this one among them."""
    allowed = distributions_of_tensorflow()
    assert {"tensorflow", "numpy"} <= allowed and not {"ds3d-tf", "tifffile", "pandas", "scipy"} & allowed
    forbidden = {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & allowed
    } | {"ds3d_tf"}
    assert {"ds3d_tf", "tifffile", "scipy", "pandas", "yaml"} <= forbidden
    code = FORBID_ALL_ELSE.format(forbidden=sorted(forbidden)) + code_of_the_docs(repository, shipped / "2")
    table = printed_table(sys.executable, code, tmp_path)
    expected = read_table(shipped / "2" / "sample" / "localizations.csv")
    assert list(table.columns) == list(expected.columns)
    np.testing.assert_allclose(table, expected, atol=1e-2)


@pytest.mark.slow
def test_twenty_lines_in_a_fresh_environment(repository, shipped, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    version = importlib.metadata.version("tensorflow")
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"tensorflow=={version}"], check=True)
    table = printed_table(python, code_of_the_docs(repository, shipped / "2"), tmp_path)
    np.testing.assert_allclose(table, read_table(shipped / "2" / "sample" / "localizations.csv"), atol=1e-2)
