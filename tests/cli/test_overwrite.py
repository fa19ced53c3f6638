"""`--overwrite` replaces what the same command wrote and nothing else: over all commands that write a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from ds3d_tf.cli.app import PANELS
from ds3d_tf.common.outputs import MARKER_FILE, mark_folder

# Commands whose `--out` is a folder, with what they need besides; `localize` writes its plots into a folder.
FOLDER_COMMANDS: dict[str, list[str]] = {
    "retrieve-mask": ["--beads", "frames.tif", "--nfp", "nfp.csv", "--setup", "quickstart_voxel"],
    "prepare": ["--frames", "frames.tif"],
    "estimate-noise": ["--frames", "frames.tif"],
    "design-mask": ["--setup", "quickstart_voxel", "--starts", "1", "--steps", "1"],
    "simulate": ["--setup", "quickstart_voxel", "--count", "1"],
    "train": ["--setup", "quickstart_voxel"],
    "tune": ["--setup", "quickstart_voxel", "--space", "quickstart_voxel", "--trials", "1"],
    "learn-mask": ["--setup", "quickstart_voxel"],
    "import-weights": ["weights.pkl", "--setup", "demo3"],
    "evaluate": ["--model", "tetrapod_4um", "--count", "1"],
    "localize": ["--model", "tetrapod_4um", "--frames", "frames.tif", "--plots"],
    "quality": ["molecules.csv"],
    "run": ["frames.tif", "--model", "tetrapod_4um"],
}
# Commands that write files whose names the user gives, or nothing.
OTHER_COMMANDS = {
    *("crlb", "export", "serve", "serve-client", "benchmark"),
    *("drift", "group", "filter", "render", "report"),
}

Run = Callable[..., Any]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the inputs of the commands."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("frames.tif", np.full((12, 60, 60), 7, np.uint16), photometric="minisblack")
    Path("nfp.csv").write_text("nfp_um\n" + "".join(f"{k / 10}\n" for k in range(12)))
    Path("weights.pkl").write_bytes(b"weights")
    Path("molecules.csv").write_text("frame,x [nm],y [nm],z [nm]\n1,100,200,300\n")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(ds3d: Run, command: str, folder: Path) -> str:
    """What a command says that is refused the folder."""
    out = folder.with_name(folder.name.removesuffix("_plots") + ".csv") if command == "localize" else folder
    done = ds3d(command, *FOLDER_COMMANDS[command], "--out", out, "--overwrite")
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_every_command_is_known_here() -> None:
    names = {function.__name__.replace("_", "-") for group in PANELS.values() for function in group}
    assert names == {*FOLDER_COMMANDS, *OTHER_COMMANDS}


@pytest.mark.parametrize("command", FOLDER_COMMANDS)
def test_a_folder_of_the_users_survives(ds3d: Run, place: Path, command: str) -> None:
    thesis = place / "thesis_plots"
    (thesis / "figures").mkdir(parents=True)
    # Names that the commands use themselves are no excuse.
    for name in ("chapter1.txt", "setup.yaml", "mask.npy", "metrics.json", "truth.csv", "model.keras", "figures/a.png"):
        (thesis / name).write_text("years of work")
    before = contents(thesis)
    assert "chapter1.txt" in refused(ds3d, command, thesis)
    assert contents(thesis) == before


@pytest.mark.parametrize("command", FOLDER_COMMANDS)
def test_the_output_of_another_command_survives(ds3d: Run, place: Path, command: str) -> None:
    other = "simulate" if command != "simulate" else "prepare"
    folder = place / "other_plots"
    folder.mkdir()
    (folder / "frames.tif").write_text("frames")
    mark_folder(folder, other, ["frames.tif"])
    before = contents(folder)
    assert f"written by `ds3d {other}`" in refused(ds3d, command, folder)
    assert contents(folder) == before


@pytest.mark.parametrize("command", FOLDER_COMMANDS)
@pytest.mark.parametrize("stranger", ["notes.txt", "evaluation/screenshot.png", "pictures/mine/frame.png"])
def test_a_stranger_in_an_output_of_the_same_command_survives(
    ds3d: Run, place: Path, command: str, stranger: str
) -> None:
    folder = place / "run_plots"
    (folder / "evaluation").mkdir(parents=True)
    (folder / "evaluation" / "metrics.json").write_text("{}")
    (folder / "setup.yaml").write_text("name: run")
    mark_folder(folder, command, ["setup.yaml", "evaluation/metrics.json", "pictures/*.png"])
    (folder / stranger).parent.mkdir(parents=True, exist_ok=True)
    (folder / stranger).write_text("mine")
    before = contents(folder)
    assert stranger in refused(ds3d, command, folder)
    assert contents(folder) == before


def test_a_shipped_model_is_no_evaluation(ds3d: Run, place: Path, repository: Path) -> None:
    folder = place / "tetrapod_4um"
    shutil.copytree(repository / "exported_models" / "tetrapod_4um" / "1", folder / "1")
    before = contents(folder)
    refused(ds3d, "evaluate", folder / "1")
    refused(ds3d, "simulate", folder / "1" / "sample")
    assert contents(folder) == before


def test_an_output_of_the_same_command_is_replaced(ds3d: Run, place: Path) -> None:
    small = ["--set", "volume.height_px=24", "--set", "volume.width_px=24"]
    for count, overwrite in ((1, []), (2, ["--overwrite"])):
        done = ds3d("simulate", "--setup", "quickstart_voxel", *small, "--count", count, "--out", "set", *overwrite)
        assert done.returncode == 0, done.stderr
    assert tifffile.imread(place / "set" / "frames.tif").shape == (2, 24, 24)
    assert (place / "set" / MARKER_FILE).is_file()
    assert not [path.name for path in place.iterdir() if path.name.startswith(".")]
