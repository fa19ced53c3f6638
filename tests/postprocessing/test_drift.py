"""Drift that is known: found, corrected, written, read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.optional import is_installed
from ds3d_tf.jobs.drift import drift
from ds3d_tf.postprocessing import read_molecules
from ds3d_tf.postprocessing.drift import drift_by_correlation, drift_by_fiducials, read_drift
from ds3d_tf.simulation.scenes import Photophysics, simulate_scene


@pytest.fixture(scope="module")
def scene(scene_setup):
    return simulate_scene("microtubules", scene_setup, 5000, 3, Photophysics(), (300, 300, 200))


def rms_nm(curve_nm, true_nm):
    """RMS difference in x, y, z of two curves, whose zero is arbitrary."""
    error = curve_nm - true_nm
    return np.sqrt(np.square(error - error.mean(axis=0)).mean(axis=0))


def test_correlation_finds_the_drift(scene, seen):
    molecules, _ = seen(scene)
    curve = drift_by_correlation(molecules, None, 600)
    assert curve.xyz_nm.shape == (5000, 3) and (curve.xyz_nm[0] == 0).all()
    assert (rms_nm(curve.xyz_nm, 1000 * scene.drift_um) < (5, 5, 6)).all()


@pytest.mark.skipif(not is_installed("comet"), reason="needs comet-smlm")
@pytest.mark.slow
def test_comet_finds_the_drift(scene, seen, tmp_path):
    seen(scene)[0].save(tmp_path / "a.parquet")
    done = drift(tmp_path / "a.parquet", tmp_path / "b.parquet", method="comet")
    assert "comet" in done.method
    assert (rms_nm(read_drift(done.curve).xyz_nm, 1000 * scene.drift_um) < (6, 6, 7)).all()


def test_no_drift_is_none(scene_setup, seen):
    still = simulate_scene("spirals", scene_setup, 2000, 5)
    curve = drift_by_correlation(seen(still)[0], None, 600)
    assert (rms_nm(curve.xyz_nm, 0) < 5).all()


def test_two_dimensions(scene, seen):
    molecules, _ = seen(scene)
    flat = molecules.changed(molecules.table.drop(columns=["z [nm]", "uncertainty_z [nm]"]), "flat")
    curve = drift_by_correlation(flat, 250, 600)
    assert (rms_nm(curve.xyz_nm, 1000 * scene.drift_um)[:2] < 5).all() and (curve.xyz_nm[:, 2] == 0).all()


def test_fiducials_find_themselves(scene, seen):
    molecules, _ = seen(scene)
    rng = np.random.default_rng(0)
    beads = []
    for place in ([1000, 6000, 500], [4000, 3500, 900], [6500, 800, 700]):
        frame = np.flatnonzero(rng.uniform(size=5000) < 0.92)
        at = place + 1000 * scene.drift_um[frame] + rng.normal(0, (4, 4, 7), (len(frame), 3))
        table = pd.DataFrame({"frame": frame + 1, "intensity [photon]": 40000.0, "uncertainty [nm]": 4.0})
        table[["x [nm]", "y [nm]", "z [nm]"]] = at
        table[["uncertainty_x [nm]", "uncertainty_y [nm]", "uncertainty_z [nm]"]] = [4.0, 4.0, 7.0]
        beads.append(table)
    both = pd.concat([molecules.table, *beads], ignore_index=True).sort_values("frame", kind="stable")
    curve, count = drift_by_fiducials(molecules.changed(both.reset_index(drop=True), "beads"), None)
    assert count == 3
    assert (rms_nm(curve.xyz_nm, 1000 * scene.drift_um) < (1.5, 1.5, 2.5)).all()
    with pytest.raises(InputError, match=r"no fiducial found.*80%"):
        drift_by_fiducials(molecules, None)


def test_the_job_and_a_known_curve(tmp_path, scene, seen):
    molecules, rows = seen(scene)
    molecules.save(tmp_path / "a.parquet")
    done = drift(tmp_path / "a.parquet", tmp_path / "b.parquet", method="correlation")
    corrected = read_molecules(tmp_path / "b.parquet")
    error = corrected.xyz_nm - 1000 * scene.points_um[scene.molecule[rows]]
    before = molecules.xyz_nm - 1000 * scene.points_um[scene.molecule[rows]]
    spread = [np.std(one - np.median(one, axis=0), axis=0) for one in (before, error)]
    assert (spread[0] > (60, 60, 40)).all() and (spread[1] < (24, 24, 33)).all()
    assert done.figure.stat().st_size > 10_000 and done.total_nm[0] == pytest.approx(300, abs=20)
    again = drift(tmp_path / "a.parquet", tmp_path / "c.parquet", curve=done.curve)
    np.testing.assert_allclose(read_molecules(tmp_path / "c.parquet").xyz_nm, corrected.xyz_nm, atol=1e-3)
    assert "b_drift.csv" in again.summary()
    (tmp_path / "b_drift.csv").write_text("mine")
    with pytest.raises(InputError, match=r"b_drift\.csv exists"):
        drift(tmp_path / "a.parquet", tmp_path / "b.csv", method="correlation")
    assert (tmp_path / "b_drift.csv").read_text() == "mine" and not (tmp_path / "b.csv").exists()


def test_curves_of_others_and_bad_ones(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("frame,x,y\n0,0,0\n10,20,-10\n")
    np.testing.assert_allclose(read_drift(path).xyz_nm[5], [10, -5, 0])
    for text, message in (
        ("frame,x [nm]\n1,2\n", "no column 'y .nm.'"),
        ("frame,x [um],y [um]\n1,2,3\n", "'x .um.' is not in nm"),
        ("frame,x,y\n5,1,1\n3,1,1\n", "expected ascending frames"),
        ("frame,x,y\n1,a,1\n", "row 2 holds something that is not a number"),
        ("", "not a CSV table"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_drift(path)
    with pytest.raises(InputError, match="no such file"):
        read_drift(tmp_path / "none.csv")


def test_refusals(tmp_path, make_molecules):
    make_molecules(np.arange(1, 101), np.zeros((100, 3))).save(tmp_path / "few.csv")
    many = make_molecules(np.repeat(np.arange(1, 101), 5), np.random.default_rng(0).uniform(0, 5000, (500, 3)))
    many.save(tmp_path / "many.csv")
    (tmp_path / "short.csv").write_text("frame,x,y\n1,0,0\n50,1,1\n")
    for name, options, message in (
        ("few.csv", {"method": "correlation"}, "100 molecules are too few"),
        ("many.csv", {"method": "correlation", "window_frames": 80}, "expected two windows or more"),
        ("many.csv", {"curve": tmp_path / "short.csv"}, "the drift curve ends at frame 50"),
    ):
        with pytest.raises(InputError, match=message):
            drift(tmp_path / name, tmp_path / "out.csv", **options)
    assert not (tmp_path / "out.csv").exists()
