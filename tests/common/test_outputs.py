"""A folder is replaced only if the same command wrote it and nothing else is in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.outputs import (
    MARKER_FILE,
    check_folder,
    find_strangers,
    mark_folder,
    new_folder,
    output_folder,
    read_marker,
    refuse_strangers,
    remove_output,
)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def written(out: Path, command: str = "simulate", overwrite: bool = False) -> Path:
    with output_folder(out, overwrite, command) as folder:
        (folder / "plots").mkdir()
        (folder / "plots" / "a.png").write_text("picture")
        (folder / "frames.tif").write_text("frames")
    return out


def test_a_folder_of_the_same_command_is_replaced(tmp_path: Path) -> None:
    out = written(tmp_path / "out")
    (out / "frames.tif").write_text("older")
    with pytest.raises(InputError, match="exists; choose another name or add --overwrite"):
        check_folder(out, False, "simulate")
    written(out, overwrite=True)
    assert (out / "frames.tif").read_text() == "frames"
    assert names(out) == [MARKER_FILE, "frames.tif", "plots/a.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "stranger", ["thesis.txt", "plots/mine.png", "deep/er/chapter1.txt", ".hidden", "frames.tif.bak"]
)
def test_a_stranger_is_named_and_everything_survives(tmp_path: Path, stranger: str) -> None:
    out = written(tmp_path / "out")
    (out / stranger).parent.mkdir(parents=True, exist_ok=True)
    (out / stranger).write_text("years of work")
    before = names(out)
    with pytest.raises(InputError, match=stranger):
        written(out, overwrite=True)
    assert names(out) == before and (out / stranger).read_text() == "years of work"


def test_a_folder_without_a_marker_is_never_replaced(tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "frames.tif").write_text("the user's own frames")
    with pytest.raises(InputError, match=r"not written by `ds3d simulate` \(it holds frames.tif\)"):
        written(out, overwrite=True)
    assert (out / "frames.tif").read_text() == "the user's own frames"


def test_a_folder_of_another_command_is_refused(tmp_path: Path) -> None:
    out = written(tmp_path / "out", "prepare")
    with pytest.raises(InputError, match="written by `ds3d prepare`"):
        written(out, "simulate", overwrite=True)
    assert read_marker(out).command == "prepare"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"written_by": "ds3d simulate"}', '{"written_by": 3, "files": 4}', "[" * 9999]
)
def test_a_damaged_marker_is_no_marker(tmp_path: Path, text: str) -> None:
    out = written(tmp_path / "out")
    (out / MARKER_FILE).write_text(text)
    with pytest.raises(InputError, match="was not written by"):
        check_folder(out, True, "simulate")
    assert remove_output(out) and names(out) == [MARKER_FILE, "frames.tif", "plots/a.png"]


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert names(written(tmp_path / "out")) == [MARKER_FILE, "frames.tif", "plots/a.png"]


def test_a_file_that_appears_while_the_command_works_survives(tmp_path: Path) -> None:
    out = written(tmp_path / "out")
    with pytest.raises(InputError, match=r"notes\.txt"), output_folder(out, True, "simulate") as folder:
        (folder / "frames.tif").write_text("new")
        (out / "notes.txt").write_text("written meanwhile")
    assert (out / "notes.txt").exists() and (out / "frames.tif").read_text() == "frames"


def test_a_failed_command_leaves_the_older_output(tmp_path: Path) -> None:
    out = written(tmp_path / "out")
    with pytest.raises(RuntimeError), output_folder(out, True, "simulate"):
        raise RuntimeError
    assert (out / "frames.tif").exists() and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_folder_is_a_stranger_and_is_not_followed(tmp_path: Path) -> None:
    out, home = written(tmp_path / "out"), tmp_path / "home"
    home.mkdir()
    (home / "diary.txt").write_text("private")
    os.symlink(home, out / "home", target_is_directory=True)
    assert find_strangers(out, read_marker(out)) == ["home"]
    assert remove_output(out) == ["home"] and (home / "diary.txt").exists()


def test_patterns_stay_within_their_folder(tmp_path: Path) -> None:
    for name in (
        "logs/train/events.out.tfevents.1",
        "logs/events.out.tfevents.2",
        "pictures/1.png",
        "pictures/a/2.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    mark_folder(tmp_path, "train", ["logs/**/events.out.tfevents.*", "pictures/*.png"])
    assert find_strangers(tmp_path, read_marker(tmp_path)) == ["pictures/a/2.png"]
    with pytest.raises(InputError, match="holds logs"):
        refuse_strangers(tmp_path, [MARKER_FILE, "pictures/**"], "SavedModel")


def test_the_folder_of_a_long_job_is_cleared_of_its_own_files_only(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for text in ("first", "second"):
        with new_folder(check_folder(out, True, "train"), "train", ["setup.yaml", "model.keras"]) as folder:
            (folder / "setup.yaml").write_text(text)
        (out / "model.keras").write_text(text)
    assert (out / "setup.yaml").read_text() == "second"
    (out / "lab_book.md").write_text("")
    assert remove_output(out) == ["lab_book.md"]
    assert names(out) == ["lab_book.md"]
