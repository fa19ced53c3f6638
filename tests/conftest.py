"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

REPOSITORY = Path(__file__).resolve().parents[1]
_DATA = Path(os.environ.get("DS3D_DATA", REPOSITORY.parent / "shared" / "data"))
if _DATA.is_dir():
    os.environ.setdefault("DS3D_DATA", str(_DATA))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of this checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the reference data; the test is skipped where it is absent."""
    if not _DATA.is_dir():
        pytest.skip("reference data not found: set DS3D_DATA to its folder")
    return _DATA
