"""Grouping against the truth of a simulation; rules and what they take."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.filter import filter
from ds3d_tf.jobs.group import group
from ds3d_tf.postprocessing import read_molecules
from ds3d_tf.postprocessing.filtering import parse_rule
from ds3d_tf.postprocessing.grouping import group_molecules
from ds3d_tf.postprocessing.grouping.group import distances_over_stated
from ds3d_tf.simulation.scenes import Photophysics, simulate_scene


def shares(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Purity and completeness: rows that are their group's most frequent molecule, and the other way round."""
    counts = pd.crosstab(found, true).to_numpy()
    return counts.max(axis=1).sum() / len(found), counts.max(axis=0).sum() / len(found)


@pytest.mark.parametrize("per_um2", [0.01, 0.05])
def test_molecules_of_a_simulation_are_regrouped(scene_setup, seen, per_um2):
    area_um2 = (64 * 0.11) ** 2
    photophysics = Photophysics(emitters_per_frame=per_um2 * area_um2, on_frames=3)
    scene = simulate_scene("spirals", scene_setup, 4000, 3, photophysics)
    molecules, rows = seen(scene)
    grouped = group_molecules(molecules, gap_frames=1)
    purity, completeness = shares(grouped.group, scene.blink[rows])
    assert purity >= 0.98 and completeness >= 0.98
    np.testing.assert_allclose(grouped.measured_over_stated, 1, atol=0.12)
    scaled = distances_over_stated(molecules, grouped.group)
    lone = np.bincount(grouped.group)[grouped.group] == 1
    assert np.isnan(scaled[lone]).all() and np.isfinite(scaled[~lone]).all()
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), 1, atol=0.12)
    # The errors of the grouped positions are as large as their uncertainties, which are smaller than before.
    first = np.unique(grouped.group, return_index=True)[1]
    truth = 1000 * scene.xyz_um[rows][first] + 1000 * 0.11 * 32.5 * np.array([1, 1, 0])
    result = grouped.molecules
    scaled = (result.xyz_nm - truth) / result.sigma_nm("test")
    assert (np.abs(np.median(np.abs(scaled), axis=0) / 0.6745 - 1) < 0.12).all()
    assert np.median(result.sigma_nm("test")) < 0.8 * np.median(molecules.sigma_nm("test"))
    assert result.table["intensity [photon]"].sum() == pytest.approx(molecules.table["intensity [photon]"].sum())
    assert result.table["detections"].sum() == len(molecules)


def test_uncertainties_that_are_wrong_show(scene_setup, seen):
    molecules, _ = seen(simulate_scene("spirals", scene_setup, 2000, 3, Photophysics(emitters_per_frame=1)))
    names = [f"uncertainty_{axis} [nm]" for axis in "xyz"]
    boastful = molecules.changed(molecules.table.assign(**{n: molecules.table[n] / 2 for n in names}), "halved")
    assert min(group_molecules(boastful, radius_sigmas=8).measured_over_stated) > 1.7


def test_gaps_and_radius(make_molecules):
    frames, x = [1, 2, 4, 7, 8, 8], [0.0, 10, 5, 3, 4, 500]
    made = make_molecules(frames, [[value, 0, 0] for value in x])
    assert group_molecules(made, gap_frames=0).group.tolist() == [0, 0, 1, 2, 2, 3]
    assert group_molecules(made, gap_frames=1).group.tolist() == [0, 0, 0, 1, 1, 2]
    assert group_molecules(made, gap_frames=2).group.tolist() == [0, 0, 0, 0, 0, 1]
    assert group_molecules(made, gap_frames=0, radius_nm=9.9).group.tolist() == [0, 1, 2, 3, 3, 4]
    assert group_molecules(made, gap_frames=0, radius_nm=10.1).group.tolist() == [0, 0, 1, 2, 2, 3]
    # Rows in any order, and weights: σ 10 and 20 nm give 4 : 1.
    two = make_molecules([6, 5], [[0, 0, 0], [10, 0, 0]], [[10, 10, 10], [20, 20, 20]], photons=[100, 300])
    row = group_molecules(two).molecules.table.iloc[0]
    assert row["x [nm]"] == pytest.approx(2) and row["intensity [photon]"] == 400
    assert row["uncertainty_x [nm]"] == pytest.approx((1 / 100 + 1 / 400) ** -0.5)
    assert row[["frame", "last_frame", "detections", "frames_on"]].tolist() == [5, 6, 2, 2]


def test_two_near_molecules_are_not_swapped(make_molecules):
    made = make_molecules([1, 1, 2, 2], [[0, 0, 0], [30, 0, 0], [29, 0, 0], [1, 0, 0]])
    assert group_molecules(made).group.tolist() == [0, 1, 1, 0]


def test_the_job_of_grouping(tmp_path, scene_setup, seen):
    molecules, _ = seen(simulate_scene("pores", scene_setup, 500, 0))
    molecules.save(tmp_path / "a.parquet")
    done = group(tmp_path / "a.parquet", tmp_path / "b.csv")
    assert f"{len(molecules)} detections → {done.molecules} molecules" in done.summary()
    assert done.figure == tmp_path / "b_precision.png" and done.figure.stat().st_size > 10_000
    again = read_molecules(tmp_path / "b.csv")
    assert len(again) == done.molecules and again.table["detections"].sum() == len(molecules)
    with pytest.raises(InputError, match="is grouped already"):
        group(tmp_path / "b.csv", tmp_path / "c.csv")
    (tmp_path / "plain.csv").write_text("frame,x [nm],y [nm]\n1,2,3\n2,3,3\n")
    with pytest.raises(InputError, match=r"'ds3d localize --refine' gives it, or give the maximum distance"):
        group(tmp_path / "plain.csv", tmp_path / "c.csv")
    plain = group(tmp_path / "plain.csv", tmp_path / "c.csv", radius_nm=5)
    assert plain.molecules == 1 and plain.figure is None and not (tmp_path / "c_precision.png").exists()
    twice = molecules.changed(pd.concat([molecules.table] * 2, ignore_index=True), "twice")
    twice.save(tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="frames start again"):
        group(tmp_path / "twice.parquet", tmp_path / "c.csv", overwrite=True)


def test_rules():
    assert parse_rule("a<4").comparisons == (("<", 4.0),)
    assert parse_rule(" 4 <= a b ").comparisons == ((">=", 4.0),) and parse_rule("4<=a b").name == "a b"
    assert parse_rule("-1e2<z<=900").comparisons == ((">", -100.0), ("<=", 900.0))
    for bad in ("a", "a<b", "1<2", "1<a>3", "a<", "a<nan", "a=3", "1<a<b", ""):
        with pytest.raises(InputError, match="expected a rule such as"):
            parse_rule(bad)


def test_what_each_rule_takes(tmp_path, make_molecules):
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0, 7040, (3000, 3))
    made = make_molecules(np.sort(rng.integers(1, 101, 3000)), xyz, rng.uniform(5, 50, (3000, 1)) * (1, 1, 1))
    made.save(tmp_path / "a.parquet")
    done = filter(
        tmp_path / "a.parquet",
        tmp_path / "b.parquet",
        keep=("uncertainty_z<40", "100<z<=900"),
        frames=(11, 90),
        border_nm=500.0,
        region_nm=(0, 0, 5000, 9000),
    )
    kept = read_molecules(tmp_path / "b.parquet")
    frame, sigma_z = made.frame, made.sigma_nm("x")[:, 2]
    frames = (frame >= 11) & (frame <= 90)
    sigma = sigma_z < 40
    depth = (xyz[:, 2] > 100) & (xyz[:, 2] <= 900)
    region = xyz[:, 0] < 5000
    border = ((xyz[:, :2] >= 500) & (xyz[:, :2] < 6540)).all(axis=1)
    assert [count for _, count in done.taken] == [
        np.sum(~frames),
        np.sum(frames & ~sigma),
        np.sum(frames & sigma & ~depth),
        np.sum(frames & sigma & depth & ~region),
        np.sum(frames & sigma & depth & region & ~border),
    ]
    np.testing.assert_array_equal(kept.xyz_nm, xyz[frames & sigma & depth & region & border])
    assert "uncertainty_z<40 removed" in kept.history[-1] and "uncertainty_z<40" in done.summary()


def test_company(tmp_path, make_molecules):
    xyz = np.array([[0, 0, 0], [30, 0, 0], [0, 30, 0], [0, 0, 60], [500, 0, 0]])
    make_molecules(1, xyz).save(tmp_path / "a.csv")
    filter(tmp_path / "a.csv", tmp_path / "b.csv", neighbours=2, radius_nm=50)
    np.testing.assert_allclose(read_molecules(tmp_path / "b.csv").xyz_nm, xyz[:3])


def test_bad_rules_and_empty_results(tmp_path, make_molecules):
    make_molecules([1, 2], [[1, 2, 3], [4, 5, 6]]).save(tmp_path / "a.csv")
    for options, message in (
        ({}, "nothing to do"),
        ({"keep": ("z<0",)}, "no molecule is left after z<0"),
        ({"keep": ("chi2<3",)}, "no column 'chi2'; 'ds3d localize --refine' gives it"),
        ({"keep": ("detections>3",)}, "'ds3d group' gives it"),
        ({"keep": ("photon>3",)}, "did you mean 'photons'"),
        ({"frames": (5, 2)}, "expected the smaller one first"),
        ({"border_nm": 10.0}, "does not say how large the frames are"),
        ({"region_nm": (5, 5, 1, 9)}, "expected left, top, right and bottom"),
    ):
        with pytest.raises(InputError, match=message):
            filter(tmp_path / "a.csv", tmp_path / "b.csv", **options)
    assert not (tmp_path / "b.csv").exists()
    (tmp_path / "n.csv").write_text("frame,x [nm],y [nm]\n1,2,3\n1,,3\n")
    assert filter(tmp_path / "n.csv", tmp_path / "b.csv", drop_incomplete=True).kept == 1
