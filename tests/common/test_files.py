"""Outputs are whole or absent."""

from __future__ import annotations

import pytest

from ds3d_tf.common import InputError
from ds3d_tf.common.files import refuse_existing, whole_file, whole_folder


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_a_finished_write_replaces_the_file(tmp_path) -> None:
    target = tmp_path / "deeper" / "table.csv"
    for text in ("first", "second"):
        with whole_file(target) as temporary:
            temporary.write_text(text)
        assert target.read_text() == text
    assert len(list(target.parent.iterdir())) == 1
    assert target.stat().st_mode & 0o444


def test_a_folder_is_replaced_whole(tmp_path) -> None:
    target = tmp_path / "model"
    with whole_folder(target) as temporary:
        (temporary / "a").write_text("1")
    with whole_folder(target) as temporary:
        (temporary / "b").write_text("2")
    assert [entry.name for entry in target.iterdir()] == ["b"]
    with pytest.raises(RuntimeError), whole_folder(target) as temporary:
        (temporary / "c").write_text("3")
        raise RuntimeError
    assert [entry.name for entry in target.iterdir()] == ["b"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_existing_outputs_are_refused_without_leave(tmp_path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("")
    with pytest.raises(InputError, match="--overwrite"):
        refuse_existing(target, overwrite=False)
    assert refuse_existing(target, overwrite=True) == target


def test_an_output_below_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a writable folder"):
        refuse_existing(tmp_path / "file" / "out.csv", overwrite=False)
    with pytest.raises(InputError, match="cannot write"), whole_file(tmp_path / "file" / "out.csv"):
        pass
