"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell starts what it puts in the background with Ctrl-C ignored, and commands started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]
_DATA = Path(os.environ.get("DS3D_DATA", REPOSITORY.parent / "shared" / "data"))
if _DATA.is_dir():
    os.environ.setdefault("DS3D_DATA", str(_DATA))


TINY = (
    "volume.height_px=20",
    "volume.width_px=24",
    "volume.margin_px=4",
    "volume.depth_voxels=5",
    "emitters.count_range=[1, 4]",
    "learning.filters=4",
    "learning.batch_size=4",
    "learning.epochs=2",
    "training_set.training_count=16",
    "training_set.validation_count=8",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--slow``, and how much slow tests do."""
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow, which take minutes")
    parser.addoption("--kills", type=int, default=12, help="how many processes slow tests kill")
    parser.addoption("--load-seconds", type=float, default=60, help="how long the slow test of a server's load takes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests out, unless asked for by ``--slow`` or ``-m``."""
    if config.getoption("--slow") or "slow" in config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.fixture(scope="session")
def tiny_changes() -> tuple[str, ...]:
    """Changes of the preset ``quickstart_voxel`` that make an epoch take a second, as ``--set`` takes them."""
    return TINY


@pytest.fixture(scope="session")
def tiny_options() -> list[str]:
    """The options of a command that ask for the tiny setup."""
    return ["--setup", "quickstart_voxel", *(word for change in TINY for word in ("--set", change))]


@pytest.fixture(scope="session")
def ds3d() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of the program ``ds3d`` in this process; returns exit code, stdout and stderr."""
    from typer.testing import CliRunner

    from ds3d_tf.cli.app import app

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(app, words, prog_name="ds3d")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)

    return run


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


@pytest.fixture(scope="session")
def mask_rad() -> Any:
    """A phase mask without meaning, float64 [101, 101], rad."""
    import numpy as np

    return np.random.default_rng(0).uniform(-3, 3, (101, 101))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, mask_rad: Any) -> Callable[..., Path]:
    """Export a model whose answer is known by hand, with some values of its setup changed; returns the folder.

    A pixel k·100 + 50 counts above 5 is one emitter at its centre, in voxel k of 8 between z = 1 and 3 µm; its
    confidence is its counts. Threshold 120, radius 2, reach 3 pixels. Each export is made once.
    """
    import keras
    from keras import ops

    from ds3d_tf.export.saved_model import export_saved_model
    from ds3d_tf.setup import Setup

    class BrightPixels(keras.Model):
        receptive_radius_px = 3

        def __init__(self) -> None:
            super().__init__()
            self.scale = self.add_weight(shape=(), initializer=keras.initializers.Constant(10.0), trainable=False)
            self.built = True

        def call(self, frames: Any, training: bool = False) -> Any:
            counts = ops.repeat(ops.repeat(frames * self.scale, 4, axis=1), 4, axis=2)[..., None]
            return ops.where(ops.floor(counts / 100) == ops.cast(ops.arange(8), "float32"), counts, 0.0)

    done: dict[str, Path] = {}

    def export(**changes: Any) -> Path:
        key = str(sorted(changes.items()))
        if key not in done:
            own = {
                "optics.slm_pixel_um": 60.3,
                "mask.size_px": 101,
                "volume.height_px": 40,
                "volume.width_px": 40,
                "volume.margin_px": 5,
                "volume.depth_voxels": 8,
                "volume.z_min_um": 1.0,
                "volume.z_max_um": 3.0,
                "learning.peak_threshold": 120.0,
                "learning.peak_radius_voxels": 2,
                "normalization.kind": "factors",
                "normalization.subtract": 5.0,
                "normalization.divide": 10.0,
            }
            done[key] = tmp_path_factory.mktemp("export") / "model"
            export_saved_model(BrightPixels(), Setup.create({}).replace({**own, **changes}), mask_rad, done[key])
        return done[key]

    return export


@pytest.fixture(scope="session")
def model_folder(exported: Callable[..., Path]) -> Path:
    """Folder of the model of ``exported``."""
    return exported()


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[..., Any]]:
    """Start `ds3d serve` with a model folder in a process of its own; returns it with ``grpc`` and ``rest``.

    ``ports=(grpc, rest)`` asks for certain ones. What still runs at the end is killed.
    """
    for extra in ("grpc", "tensorflow_serving"):
        pytest.importorskip(extra, reason="the extra 'serving' is not installed")
    running = []

    def start(folder: Path, *options: str, ports: tuple[int, int] = (0, 0)) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ds3d_tf", "serve", "--model", f"bright={folder}", *options]
        command += ["--port", str(ports[0]), "--rest-port", str(ports[1])]
        process: Any = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        running.append(process)
        line = process.stderr.readline()
        found = re.search(r"gRPC at 127\.0\.0\.1:(\d+), REST at http://127\.0\.0\.1:(\d+)/v1/models/bright", line)
        assert found, line + process.stderr.read()
        process.grpc, process.rest = int(found[1]), int(found[2])
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def server(start_server: Callable[..., Any], model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of the model of ``exported`` as version 3 of the name "bright"."""
    folder = tmp_path_factory.mktemp("served") / "bright"
    shutil.copytree(model_folder, folder / "3")
    return start_server(folder, "--largest-request", "16")
