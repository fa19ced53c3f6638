"""Quality of tables whose precision, resolution, bleaching and grid are known."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.quality import quality
from ds3d_tf.postprocessing.quality import bleaching, grid_index, nearest_neighbour_precision, ring_correlation
from ds3d_tf.simulation.scenes import Photophysics, simulate_scene


def random_points(dimensions, size_nm, count, repeats, sigma_nm, seed):
    """Points at random, each localized ``repeats`` times on average, in random frames of 1000."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, size_nm, (count, dimensions))
    which = np.repeat(np.arange(count), rng.poisson(repeats, count))
    positions = points[which] + rng.normal(0, sigma_nm, (len(which), dimensions))
    return positions, rng.integers(1, 1001, len(which))


@pytest.mark.parametrize(
    ("dimensions", "size_nm", "sigma_nm", "repeats"), [(2, 5000, 10, 4), (2, 8000, 20, 12), (3, 1800, 15, 8)]
)
def test_resolution_as_expected_from_precision_and_density(dimensions, size_nm, sigma_nm, repeats):
    """Of random points, a half has M (Q/2)² e^(-4π²q²σ²) power of structure and M Q/2 of noise; FRC = 1/7 gives q.

    (Q/2) e^(-4π²q²σ²) = 1/6, hence q = √(ln 3Q) / 2πσ.
    """
    positions, frame = random_points(dimensions, size_nm, 6000, repeats, sigma_nm, 0)
    found = ring_correlation(positions, frame, sigma_nm / 2 * (1 if dimensions == 2 else 1.6), repeats=3)
    expected = 2 * np.pi * sigma_nm / np.sqrt(np.log(3 * repeats))
    assert found.resolution_nm == pytest.approx(expected, rel=0.06)


def test_no_structure_has_no_resolution():
    rng = np.random.default_rng(0)
    found = ring_correlation(rng.uniform(0, 3000, (5000, 2)), rng.integers(1, 1001, 5000), 10)
    # Only the outline of the field, 3 µm wide, is common to both halves.
    assert np.abs(found.correlation[20:].reshape(-1, 41).mean(axis=1)).max() < 0.1 and found.resolution_nm > 250
    assert ring_correlation(rng.uniform(0, 3000, (50, 2)), rng.integers(1, 1001, 50), 10) is None


def test_tiles_give_what_one_picture_gives(monkeypatch):
    positions, frame = random_points(2, 4000, 8000, 8, 12, 1)
    whole = ring_correlation(positions, frame, 6).resolution_nm
    module = importlib.import_module("ds3d_tf.postprocessing.quality.ring_correlation")
    monkeypatch.setattr(module, "_TILE_VOXELS", {2: 256, 3: 64})
    assert ring_correlation(positions, frame, 6).resolution_nm == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("sigma_nm", [8.0, 20.0])
def test_nearest_neighbours_give_the_precision(scene_setup, sigma_nm):
    scene = simulate_scene("spirals", scene_setup, 3000, 3, Photophysics(emitters_per_frame=4, on_frames=4))
    rng = np.random.default_rng(1)
    xy_nm = 1000 * scene.xyz_um[:, :2] + rng.normal(0, sigma_nm, (len(scene.frame), 2))
    found = nearest_neighbour_precision(scene.frame, xy_nm)
    assert found.sigma_nm == pytest.approx(sigma_nm, rel=0.08)
    assert nearest_neighbour_precision(scene.frame[:50], xy_nm[:50]) is None


def test_bleaching_and_its_absence():
    rng = np.random.default_rng(0)
    t = rng.exponential(1500, 40000)
    fading = bleaching(t[t < 3000].astype(int) + 1, 3000)
    assert fading.lifetime_frames == pytest.approx(1500, rel=0.05)
    assert fading.per_frame[0] == pytest.approx(40000 / 1500, rel=0.1)
    assert bleaching(rng.integers(1, 3001, 20000), 3000).lifetime_frames is None


def test_a_grid_shows():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 7000, 20000)
    assert grid_index(x, 110) < 0.03
    on_voxels = (np.floor(x / 27.5) + 0.5) * 27.5 + rng.normal(0, 5, len(x))
    assert grid_index(on_voxels, 110) == pytest.approx(np.exp(-2 * (np.pi * 5 / 27.5) ** 2), abs=0.03)


def test_the_job(tmp_path, scene_setup, seen):
    how = Photophysics(emitters_per_frame=5, bleaching_frames=2500)
    molecules, _ = seen(simulate_scene("spirals", scene_setup, 3000, 3, how))
    molecules.save(tmp_path / "a.parquet")
    done = quality(tmp_path / "a.parquet", tmp_path / "q", repeats=2)
    metrics = json.loads((tmp_path / "q" / "metrics.json").read_text())
    assert all(0.9 < ratio < 1.15 for ratio in metrics["measured_over_stated_sigma"].values())
    assert metrics["molecules"] == len(molecules) and metrics["frames"] == 3000
    assert metrics["area_um2"] == pytest.approx((64 * 0.11) ** 2)
    assert metrics["nena_sigma_nm"] == pytest.approx(metrics["stated_sigma_nm"]["x"], rel=0.2)
    assert metrics["bleaching_lifetime_frames"] == pytest.approx(2500, rel=0.35)
    assert 20 < metrics["frc_resolution_nm"] < metrics["fsc_resolution_nm"] < 150
    assert {path.name for path in (tmp_path / "q").glob("*.*")} >= {
        "metrics.json", "frc.csv", "fsc.csv", "resolution.png", "precision.png", "recording.png",
    }  # fmt: skip
    assert "resolution in x and y" in done.summary()
    with pytest.raises(InputError, match="exists"):
        quality(tmp_path / "a.parquet", tmp_path / "q")


def test_a_plain_table(tmp_path):
    (tmp_path / "a.csv").write_text("frame,x [nm],y [nm]\n1,2,3\n2,30,40\n")
    metrics = quality(tmp_path / "a.csv", tmp_path / "q").metrics
    assert metrics["molecules"] == 2
    assert all(metrics[name] is None for name in ("frc_resolution_nm", "nena_sigma_nm", "grid_index", "median_photons"))
