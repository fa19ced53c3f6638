"""What is published: built, checked, installed outside the checkout, and run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ds3d_tf.localization.tables.tables import read_table

pytest.importorskip("build", reason="the extra 'test' is not installed")


@pytest.fixture(scope="module")
def published(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source archive of the tracked files."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, source / name)
    out = tmp_path_factory.mktemp("dist")
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def environment(published: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scripts of a new virtual environment with the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    # A folder named in a .pth file is searched, but its own .pth files, such as an editable install, are not.
    here = sysconfig.get_paths()["purelib"]
    there = subprocess.run(
        [str(scripts / "python"), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(there) / "dependencies.pth").write_text(here + "\n")
    install = ["install", "--quiet", "--no-deps", "--ignore-installed", "--no-index", str(published[0])]
    line = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), *install]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return scripts


def run(folder: Path, *line: object) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = [str(word) for word in line]
    return subprocess.run(words, cwd=folder, env=keep, capture_output=True, text=True, check=False)


def test_the_description_renders(published: tuple[Path, Path]) -> None:
    pytest.importorskip("twine", reason="the extra 'test' is not installed")
    line = [sys.executable, "-m", "twine", "check", "--strict", *map(str, published)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_the_archives_hold(published: tuple[Path, Path], repository: Path) -> None:
    wheel, source = published
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        metadata = archive.read(next(name for name in held if name.endswith("METADATA"))).decode()
    modules = {path.relative_to(repository).as_posix() for path in (repository / "ds3d_tf").rglob("*.py")}
    assert modules - held == set()
    for needed in ("py.typed", "setup/presets/demo1.yaml", "exported_models/tetrapod_4um/2/saved_model.pb"):
        assert f"ds3d_tf/{needed}" in held
    assert not any(name.startswith(("tests", "tools", "docs")) for name in held)
    links = re.findall(r"\]\(([^)]*)\)", metadata)
    assert "pip install ds3d-tf" in metadata and all(link.startswith(("http", "#")) for link in links), links
    assert "Typing :: Typed" in metadata and "Author: The ds3d-tf developers" in metadata
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("tests/conftest.py", "docs/training.md", "tools/train.py", "Makefile", "CHANGELOG.md"):
        assert needed in names
    assert "exported_models/tetrapod_4um/2/saved_model.pb" in names


def test_the_installed_program_localizes_the_shipped_sample(
    environment: Path, repository: Path, tmp_path: Path
) -> None:
    shown = run(tmp_path, environment / "ds3d", "--help")
    assert shown.returncode == 0 and "localize" in shown.stdout, shown.stderr
    code = "from ds3d_tf.common.shipped import find_model; print(find_model('tetrapod_4um'))"
    model = Path(run(tmp_path, environment / "python", "-c", code).stdout.strip())
    assert environment.parent in model.parents
    sample = max(model.iterdir(), key=lambda path: path.name) / "sample"
    files = ["--frames", sample / "frames.tif", "--out", tmp_path / "a.csv"]
    done = run(tmp_path, environment / "ds3d", "localize", "--model", "tetrapod_4um", "--no-refine", *files)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(read_table(tmp_path / "a.csv"), read_table(sample / "localizations.csv"), atol=1e-2)
    files[-1] = tmp_path / "refined.csv"
    done = run(tmp_path, environment / "ds3d", "localize", "--model", "tetrapod_4um", *files)
    assert done.returncode == 0, done.stderr
    assert "log_likelihood_gain" in read_table(tmp_path / "refined.csv")


def test_the_installed_package_loads_a_model_by_name(environment: Path, tmp_path: Path) -> None:
    code = "import ds3d_tf as ds; print(ds.__file__); print(ds.Localizer('tetrapod_4um').setup.volume.depth_voxels)"
    done = run(tmp_path, environment / "python", "-c", code)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    file, depth = done.stdout.split()
    assert environment.parent in Path(file).parents and int(depth) > 1
    unknown = run(tmp_path, environment / "python", "-c", "import ds3d_tf as ds; ds.Localizer('tetrapot')")
    assert "shipped models: tetrapod_4um" in unknown.stderr
