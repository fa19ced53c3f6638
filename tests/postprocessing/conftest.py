"""Molecules on curves that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

REFINED = ("uncertainty_x [nm]", "uncertainty_y [nm]", "uncertainty_z [nm]")


@pytest.fixture
def make_molecules() -> Callable[..., Any]:
    """Molecules at positions in nm with given uncertainties; positions are taken as they are."""
    from ds3d_tf.postprocessing import Molecules

    def make(frame: Any, xyz_nm: Any, sigma_nm: Any = (10.0, 10.0, 20.0), **columns: Any) -> Any:
        xyz = np.asarray(xyz_nm, float).reshape(-1, 3)
        sigma = np.broadcast_to(np.asarray(sigma_nm, float), xyz.shape)
        table = pd.DataFrame({"frame": np.broadcast_to(np.asarray(frame, np.int64), len(xyz))})
        for axis, name in enumerate("xyz"):
            table[f"{name} [nm]"] = xyz[:, axis]
        table["intensity [photon]"] = np.broadcast_to(columns.pop("photons", 2000.0), len(xyz)).astype(float)
        table["uncertainty [nm]"] = np.sqrt((sigma[:, 0] ** 2 + sigma[:, 1] ** 2) / 2)
        for axis, name in enumerate(REFINED):
            table[name] = sigma[:, axis]
        return Molecules(table, "test.csv", pixel_nm=110.0, frame_shape=(64, 64), **columns)

    return make


@pytest.fixture
def filaments() -> Callable[..., np.ndarray]:
    """Points on smooth curves through a field of 64×64 pixels of 110 nm, 600 nm deep; float [N, 3], nm."""

    def make(count: int, rng: np.random.Generator, curves: int = 9) -> np.ndarray:
        shape = np.random.default_rng(5)
        start, angle = shape.uniform(500, 6500, (curves, 2)), shape.uniform(0, np.pi, curves)
        bend, phase = shape.uniform(-0.25, 0.25, curves), shape.uniform(0, 6, curves)
        which, along = rng.integers(0, curves, count), rng.uniform(-3500, 3500, count)
        direction = angle[which] + bend[which] * along / 3500
        x = start[which, 0] + along * np.cos(direction)
        y = start[which, 1] + along * np.sin(direction)
        z = 1000 + 250 * np.sin(phase[which] + along / 900)
        points = np.stack([x, y, z], axis=1)
        inside = ((points[:, :2] > 100) & (points[:, :2] < 6940)).all(axis=1)
        return points[inside]

    return make


@pytest.fixture(scope="session")
def scene_setup() -> Any:
    """64×64 pixels of 110 nm, 4 µm deep."""
    from ds3d_tf.setup import load_setup

    return load_setup("demo1", ("volume.height_px=64", "volume.width_px=64", "volume.margin_px=4"))


@pytest.fixture
def seen(scene_setup: Any, make_molecules: Callable[..., Any]) -> Callable[..., Any]:
    """A scene as a good localizer would see it: true positions with errors that are as large as stated."""

    def make(scene: Any, seed: int = 0, faintest: float = 400.0, sigma_nm: float = 800.0) -> tuple[Any, np.ndarray]:
        """Molecules, and the rows of the scene that they are; σ = ``sigma_nm`` / √photons, 1.5 times that in z."""
        rng = np.random.default_rng(seed)
        rows, count = np.flatnonzero(scene.photons > faintest), len(scene.drift_um)
        sigma = sigma_nm / np.sqrt(scene.photons[rows, None]) * (1, 1, 1.5)
        origin = 1000 * scene_setup.optics.pixel_um * 32.5 * np.array([1, 1, 0])
        xyz = 1000 * scene.xyz_um[rows] + origin + rng.normal(size=(len(rows), 3)) * sigma
        made = make_molecules(scene.frame[rows], xyz, sigma, photons=scene.photons[rows], frame_count=count)
        return made, rows

    return make
