"""Gallery scenes: structures of known geometry, blinking of known statistics, frames that show them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.simulate import simulate
from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.scenes import Photophysics, drift_curve_um, simulate_scene
from ds3d_tf.simulation.structures import STRUCTURES, structure

LOW, HIGH = np.array([-3.0, -3.0, 0.0]), np.array([3.0, 3.0, 2.0])


@pytest.fixture(scope="module")
def setup():
    return load_setup("quickstart_voxel", ("volume.height_px=40", "volume.width_px=48"))


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_fill_their_box(name):
    points = structure(name, LOW, HIGH, np.random.default_rng(0))
    assert len(points) > 1000
    assert (points >= LOW).all() and (points <= HIGH).all()
    assert (np.ptp(points[:, :2], axis=0) > 3.5).all()
    again = structure(name, LOW, HIGH, np.random.default_rng(0))
    np.testing.assert_array_equal(points, again)


def test_spirals_have_their_radius_and_pores_their_rings():
    spirals = structure("spirals", LOW, HIGH, np.random.default_rng(0))
    column = np.arange(LOW[0] + 0.35, HIGH[0] - 0.35 + 1e-9, 1.6)
    centres = np.stack(np.meshgrid(column, column), axis=-1).reshape(-1, 2)
    apart = np.linalg.norm(spirals[:, None, :2] - centres, axis=2).min(axis=1)
    np.testing.assert_allclose(apart, 0.35, atol=1e-9)
    pores = STRUCTURES["pores"](LOW, HIGH, np.random.default_rng(0)).reshape(-1, 64, 3)
    from_centre = pores - pores.mean(axis=1, keepdims=True)
    radius = np.linalg.norm(from_centre[..., :2], axis=2)
    assert radius.mean() == pytest.approx(0.107 / 2, abs=0.002) and radius.std() < 0.006
    assert np.abs(from_centre[..., 2]).mean() == pytest.approx(0.025, abs=0.002)
    corner = 4 * np.arctan2(from_centre[..., 1], from_centre[..., 0])  # 8 corners: twice around the circle, opposite
    assert np.abs(np.exp(2j * corner).mean(axis=1)).min() > 0.7


def test_blinking_has_the_statistics_asked_for(setup):
    how = Photophysics(on_frames=3, blinks=4, emitters_per_frame=6, photon_rate=5000, bleaching_frames=np.inf)
    scene = simulate_scene("spirals", setup, 6000, 0, how)
    per_frame = np.bincount(scene.frame, minlength=6001)[1:]
    # A molecule bright for t frames is seen in t + 1 of them, on average.
    assert per_frame[:200].mean() == pytest.approx(6 * 4 / 3, rel=0.15)
    light = np.bincount(scene.blink, scene.photons / 5000)
    assert light[light > 0].mean() == pytest.approx(3, rel=0.1)
    assert scene.photons.sum() / len(np.unique(scene.blink)) == pytest.approx(15000, rel=0.1)
    brief = simulate_scene("spirals", setup, 6000, 0, Photophysics(emitters_per_frame=6, bleaching_frames=1500))
    half = [np.sum((brief.frame > a) & (brief.frame <= a + 1000)) for a in (0, 1500)]
    assert half[1] / half[0] == pytest.approx(np.exp(-1), rel=0.2)


def test_blinks_end_with_bleaching(setup):
    how = Photophysics(on_frames=1, blinks=3, emitters_per_frame=40)
    scene = simulate_scene("spirals", setup, 20000, 0, how)
    lit = pd.DataFrame({"molecule": scene.molecule, "blink": scene.blink}).drop_duplicates()
    # Lifetimes are exponential, so that the number of blinks is geometric with mean 3, zero included.
    assert len(lit) / len(scene.points_um) == pytest.approx(3, rel=0.1)


def test_drift_starts_at_zero_and_ends_where_it_should(setup):
    curve = drift_curve_um(500, np.array([0.3, -0.2, 0.1]), np.random.default_rng(0))
    np.testing.assert_allclose(curve[[0, -1]], [[0, 0, 0], [0.3, -0.2, 0.1]], atol=1e-12)
    assert np.abs(np.diff(curve, n=2, axis=0)).max() < 1e-4
    scene = simulate_scene("pores", setup, 300, 1, drift_nm=(300, 200, 100))
    np.testing.assert_allclose(
        scene.xyz_um - scene.points_um[scene.molecule], scene.drift_um[scene.frame - 1], atol=1e-12
    )


def test_the_job_writes_frames_and_truth(tmp_path, setup):
    simulate(setup, tmp_path / "a", count=19, seed=3, scene="spirals", emitter_count=4, drift_nm=(100, 0, 50))
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {"frames.tif", "truth.csv", "drift.csv", "structure.csv", "molecules.csv", "preview.png"} <= names
    frames, truth = tifffile.imread(tmp_path / "a" / "frames.tif"), pd.read_csv(tmp_path / "a" / "truth.csv")
    assert frames.shape == (19, 40, 48)
    light = np.bincount(truth["frame"], truth["photons"], minlength=20)[1:]
    assert np.corrcoef(light, frames.sum(axis=(1, 2)))[0, 1] > 0.9
    molecules, drift = (pd.read_csv(tmp_path / "a" / f"{name}.csv") for name in ("molecules", "drift"))
    nm = ["x [nm]", "y [nm]", "z [nm]"]
    moved = molecules[nm].to_numpy() + drift[nm].to_numpy()[molecules["frame"] - 1]
    np.testing.assert_allclose(moved, truth[nm], atol=0.01)
    assert drift[nm].iloc[-1].tolist() == [100, 0, 50]
    simulate(setup, tmp_path / "b", count=19, seed=3, scene="spirals", emitter_count=4, drift_nm=(100, 0, 50))
    assert (tmp_path / "a" / "frames.tif").read_bytes() == (tmp_path / "b" / "frames.tif").read_bytes()


def test_own_points_and_mistakes(tmp_path, setup):
    path = tmp_path / "points.csv"
    path.write_text("x [nm],y [nm],z [nm]\n0,100,500\n-200,0,300\n99999,0,300\n")
    points = structure(str(path), LOW, HIGH, np.random.default_rng(0))
    np.testing.assert_allclose(points, [[0, 0.1, 0.5], [-0.2, 0, 0.3]])
    for text, message in (
        ("x,y\n1,2\n", "expected the columns x_um, y_um, z_um"),
        ("x_um,y_um,z_um\n1,2,a\n", "row 2 holds something that is not a number"),
        ("x_um,y_um,z_um\n100,2,1\n", "no point lies in the frames' volume"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            structure(str(path), LOW, HIGH, np.random.default_rng(0))
    for name, message in (("cells", "expected microtubules, pores, spirals or a .csv"), ("none.csv", "no such file")):
        with pytest.raises(InputError, match=message):
            simulate(setup, tmp_path / "out", scene=name)
    assert not (tmp_path / "out").exists()
