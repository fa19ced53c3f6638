"""Mask design: its objective against the bound and finite differences; the built-in mask against its record."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
import tensorflow as tf
import yaml
from scipy.interpolate import RegularGridInterpolator

from ds3d_tf.common import InputError
from ds3d_tf.optics.crlb import localization_bound
from ds3d_tf.optics.crlb_curve import Conditions, bound_over_z, root_mean_square, typical_conditions
from ds3d_tf.optics.design import DesignOptions, design, mean_bound_nm
from ds3d_tf.optics.design_files import bound_figures
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.pupil import pupil_grids
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.zernike import zernike
from ds3d_tf.setup import load_setup

SMALL = ("volume.height_px=24", "volume.width_px=24")


def test_objective_is_the_mean_bound_and_its_gradient_that_of_finite_differences() -> None:
    setup = load_setup("quickstart_voxel", SMALL)
    conditions = Conditions(photons=4000.0, background=8.0, read_noise=2.0, blur_sigma_px=0.9)
    renderer = exact_renderer(setup.optics, setup.volume, load_mask(setup), dtype="float64")
    pupil = renderer.grids.pupil_x
    modes = np.stack([zernike(index, pupil[None, :], pupil[:, None]) for index in (6, 8)])
    at, z_um = np.array([1.1, -0.3]), np.linspace(0.1, 0.9, 7)

    coefficients = tf.constant(at)
    with tf.GradientTape() as tape:
        tape.watch(coefficients)
        value = mean_bound_nm(renderer, tf.tensordot(coefficients, tf.constant(modes), 1), z_um, conditions)
    slope = tape.gradient(value, coefficients).numpy()

    def bound(mask: np.ndarray) -> float:
        other = exact_renderer(setup.optics, setup.volume, mask, dtype="float64")
        xyz = np.stack([0 * z_um, 0 * z_um, z_um], axis=1)
        found = localization_bound(other, xyz, 4000.0, background=8.0, read_noise=2.0, blur_sigma_px=0.9)
        return float(np.mean([found.x_nm, found.y_nm, found.z_nm]))

    assert float(value) == pytest.approx(bound(np.tensordot(at, modes, 1)), rel=1e-9)
    step = 1e-4
    for index, mode in enumerate(modes):
        mask = np.tensordot(at, modes, 1)
        difference = (bound(mask + step * mode) - bound(mask - step * mode)) / (2 * step)
        assert slope[index] == pytest.approx(difference, rel=1e-5)


def test_design_beats_the_masks_it_could_have_been_and_repeats_with_its_seed() -> None:
    setup = load_setup("quickstart_voxel", SMALL)
    conditions = typical_conditions(setup)
    options = DesignOptions(highest_mode=15, z_positions=5, starts=2, start_steps=8, steps=10, seed=3)
    calls: list[tuple[int, float]] = []
    found = design(setup, conditions, options, progress=lambda *call: calls.append(call))
    assert [step for step, _ in calls] == list(range(1, len(calls) + 1)) and calls[-1][1] <= min(found.start_bounds_nm)
    assert found.mean_bound_nm == pytest.approx(calls[-1][1], rel=1e-4)
    assert set(found.zernike_rad) == set(range(4, 16)) and found.mask_rad.shape == (101, 101)
    z_um = np.linspace(0.0, 1.0, 5)
    for source in ("astigmatic", "flat"):
        mask = load_mask(setup.replace({"mask.source": source}))
        bound = bound_over_z(exact_renderer(setup.optics, setup.volume, mask), z_um, conditions)
        assert found.mean_bound_nm < 0.9 * bound_figures(bound)["mean_nm"]
    again = design(setup, conditions, options)
    assert again.zernike_rad == pytest.approx(found.zernike_rad, abs=0.02)
    with pytest.raises(ValueError, match="lowest_mode"):
        design(setup, conditions, DesignOptions(lowest_mode=3))


def recorded() -> dict:
    """The record of the built-in mask."""
    return yaml.safe_load((resources.files("ds3d_tf.optics") / "designs" / "tetrapod.yaml").read_text("utf-8"))


def test_built_in_tetrapod_is_what_its_record_says() -> None:
    record, setup = recorded(), load_setup("demo1", ["mask.source=tetrapod"])
    # The record is older than the choice of voxels a pixel.
    volume = {**record["volume"], "lateral_voxels": 4}
    assert record["optics"] == setup.optics.model_dump() and volume == setup.volume.model_dump()
    conditions = Conditions(**record["conditions"])
    assert conditions == typical_conditions(setup)
    z_um = np.linspace(0.0, 4.0, 41)
    bound = bound_over_z(exact_renderer(setup.optics, setup.volume, load_mask(setup)), z_um, conditions)
    assert bound_figures(bound) == pytest.approx(record["bounds"]["designed"], rel=1e-3)


def test_built_in_tetrapod_is_no_worse_than_the_printed_one(data) -> None:
    record, setup = recorded(), load_setup("demo1")
    conditions = Conditions(**record["conditions"])
    printed = exact_renderer(setup.optics, setup.volume, load_mask(setup, allow_substitute=False))
    bound = bound_over_z(printed, np.linspace(0.0, 4.0, 41), conditions)
    figures = record["bounds"]["designed"]
    assert figures["mean_nm"] <= bound_figures(bound)["mean_nm"]
    assert figures["rms_lateral_nm"] <= root_mean_square(bound.lateral_nm)
    assert figures["rms_axial_nm"] <= root_mean_square(bound.z_nm)


def test_built_in_tetrapod_is_one_optical_path_at_any_size_and_wavelength() -> None:
    red, yellow = (load_setup(preset, ["mask.source=tetrapod"]) for preset in ("demo1", "demo3"))
    coarse, fine = (pupil_grids(s.optics, s.mask.size_px, s.volume.focus_um).pupil_x for s in (red, yellow))
    chosen = fine[np.abs(fine) < 0.6]
    at = np.stack(np.meshgrid(chosen, chosen, indexing="ij"), axis=-1)
    expected = RegularGridInterpolator((coarse, coarse), load_mask(red), method="cubic")(at)
    found = load_mask(yellow)[np.ix_(np.abs(fine) < 0.6, np.abs(fine) < 0.6)]
    np.testing.assert_allclose(0.58 * found, 0.67 * expected, atol=2e-3)
    assert load_mask(yellow)[0, 0] == 0


def test_presets_need_no_mask_file(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DS3D_DATA", raising=False)
    monkeypatch.delenv("DS3D_MASKS", raising=False)
    for preset in ("demo1", "demo2", "demo3"):
        setup = load_setup(preset, ["learning.epochs=1"])
        expected = load_mask(setup.replace({"mask.source": "tetrapod"}))
        np.testing.assert_array_equal(load_mask(setup.replace({"learning.epochs": 2})), expected)
        with pytest.raises(InputError, match="not found"):
            load_mask(setup, allow_substitute=False)
    # only the preset's own file has a substitute: not one that was asked for, nor one of a setup file
    name = load_setup("demo1").mask.source
    setup.save("setup.yaml")
    named = load_setup("demo1").replace({"mask.source": name})
    for asked in (load_setup("demo1", [f"mask.source={name}"]), named, load_setup("setup.yaml"), load_setup("demo5")):
        with pytest.raises(InputError, match="not found"):
            load_mask(asked)
