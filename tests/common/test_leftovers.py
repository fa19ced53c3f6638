"""What killed processes leave beside an output is swept by the next one, and nothing else."""

import os
import signal
import subprocess
import sys

import pytest

from ds3d_tf.common.files import whole_file, whole_folder
from ds3d_tf.common.leftovers import sweep, sweep_folder

pytest.importorskip("fcntl", reason="needs locks of the operating system")
WRITER = """
import sys, time
from ds3d_tf.common import files
with getattr(files, sys.argv[1])(sys.argv[2]) as temporary:
    print(temporary, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer():
    """Start a process that is in the middle of writing an output; returns it and its temporary file."""
    running = []

    def start(kind, path):
        command = [sys.executable, "-c", WRITER, kind, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in running:
        process.kill()
        process.wait()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["whole_file", "whole_folder", "temporary_folder"])
def test_only_the_dead_are_swept(tmp_path, writer, kind):
    out = tmp_path / "out.tif"
    process, temporary = writer(kind, out)
    sweep(out)
    sweep_folder(tmp_path)
    assert os.path.exists(temporary)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert os.path.exists(temporary)
    with whole_file(out) as mine:
        mine.write_text("whole")
    assert names(tmp_path) == ["out.tif"] and out.read_text() == "whole"


def folder_with(path, text):
    path.mkdir(parents=True)
    (path / "a.txt").write_text(text)
    return path


def test_what_is_not_ours_stays(tmp_path):
    kept = [".partial-out.tif-notes.txt", ".partial-out.tif-abcdefg2", ".partial-out.tif-1234567", "out.tif.bak"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    folder_with(tmp_path / ".partial-out.tif-abcdefgh", "a killed process's")
    folder_with(tmp_path / ".partial-.partial-out.tif-abcdefgh-stuvwxyz", "its part")
    (tmp_path / ".partial-out.tif-linked_1.tif").symlink_to(tmp_path / "out.tif.bak")
    (tmp_path / ".partial-out.tif-linked_2").symlink_to(tmp_path, target_is_directory=True)
    sweep(tmp_path / "out.tif")
    assert names(tmp_path) == sorted([*kept, ".partial-out.tif-linked_1.tif", ".partial-out.tif-linked_2"])


def test_a_folder_that_was_moved_aside_comes_back(tmp_path):
    """The process died between the two renames that replace a folder."""
    out = tmp_path / "out"
    folder_with(tmp_path / ".old-out-abcdefgh" / "out", "before")
    sweep(out)
    assert names(tmp_path) == ["out"] and (out / "a.txt").read_text() == "before"
    folder_with(tmp_path / ".old-out-abcdefgh" / "out", "long before")
    with whole_folder(out) as folder:
        (folder / "a.txt").write_text("after")
    assert names(tmp_path) == ["out"] and (out / "a.txt").read_text() == "after"


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    out, real = folder_with(tmp_path / "out", "before"), os.replace

    def failing(source, target):
        if os.fspath(target) == os.fspath(out) and ".old-" not in os.fspath(source):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(ValueError, match=r"cannot write .*: No space left"), whole_folder(out) as folder:
        (folder / "a.txt").write_text("after")
    assert names(tmp_path) == ["out"] and (out / "a.txt").read_text() == "before"
