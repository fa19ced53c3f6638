"""Shipped models are found by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.shipped import find_model, shipped_models


def test_a_name_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model("tetrapod_4um") == shipped_models()["tetrapod_4um"]
    assert (find_model("tetrapod_4um") / "1" / "saved_model.pb").is_file()
    assert find_model(tmp_path / "absent") == tmp_path / "absent"
    assert find_model("absent.onnx") == Path("absent.onnx")
    # What is there goes before what is shipped.
    (tmp_path / "tetrapod_4um").mkdir()
    assert find_model("tetrapod_4um") == Path("tetrapod_4um")


def test_an_unknown_name_lists_the_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"model tetrapot: no such .* shipped models: tetrapod_4um$"):
        find_model("tetrapot")
