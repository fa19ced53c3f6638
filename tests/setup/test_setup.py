"""The Setup: round trips, frozen, presets against the published table, refused values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from ds3d_tf.common import InputError
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.setup import Setup, load_setup, preset_names

# wavelength, SLM pixel, focal length, N, z_min, z_max, NFP, D, scaling, mask (the published demos' parameters)
PUBLISHED = {
    "demo1": (0.67, 30.0, 1e5, 203, 0.0, 4.0, 1.5, 121, 800.0, "mask_tetrapod_printed.mat"),
    "demo2": (0.67, 30.0, 1e5, 203, 0.0, 4.0, 1.5, 121, 800.0, "mask_tetrapod_printed.mat"),
    "demo3": (0.58, 24.0, 1.5e5, 329, 2.0, 6.0, 4.5, 81, 800.0, "mask_tetrapod.mat"),
    "demo4": (0.58, 24.0, 1.5e5, 329, 0.0, 5.0, 2.5, 51, 100.0, "flat"),
    "demo5": (0.58, 24.0, 1.5e5, 329, 2.0, 6.0, 4.5, 81, 800.0, "mask_learned.mat"),
}


def test_presets_are_listed() -> None:
    assert preset_names() == ["demo1", "demo2", "demo3", "demo4", "demo5", "quickstart", "quickstart_voxel"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_preset_has_the_published_figures(name: str) -> None:
    setup = load_setup(name)
    optics, volume = setup.optics, setup.volume
    found = (
        optics.wavelength_um,
        optics.slm_pixel_um,
        optics.focal_length_um,
        setup.mask.size_px,
        volume.z_min_um,
        volume.z_max_um,
        volume.focus_um,
        volume.depth_voxels,
        setup.learning.scaling_factor,
        setup.mask.source,
    )
    assert found == PUBLISHED[name]
    assert (optics.numerical_aperture, optics.n_oil, optics.n_water) == (1.45, 1.518, 1.33)
    assert optics.pixel_um == pytest.approx(0.11)
    assert (volume.height_px, volume.width_px, volume.margin_px) == (121, 121, 20)
    assert setup.emitters.count_range == (1, 35)


def test_optics_agree_with_the_reference_grids(data) -> None:
    # phase across the whole mask, per µm, of the reference's lateral grid: 2π M ξ / (λ f)
    for name, size in (("demo1", 203), ("demo3", 329)):
        row = np.load(data / "golden" / f"render_{name}.npz")["Xgrid_row"]
        optics = load_setup(name).optics
        edge = (size - 1) / 2 * optics.slm_pixel_um
        expected = 2 * math.pi * optics.magnification * edge / (optics.wavelength_um * optics.focal_length_um)
        assert row[-1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", preset_names())
def test_yaml_round_trip_is_exact(name: str) -> None:
    setup = load_setup(name)
    assert Setup.from_yaml(setup.to_yaml()) == setup
    assert Setup.from_yaml(setup.to_yaml()).to_yaml() == setup.to_yaml()


def test_yaml_round_trip_keeps_odd_floats_and_integer_keys() -> None:
    setup = load_setup("quickstart_voxel").replace(
        {"mask.source": "zernike", "mask.zernike_rad": {5: 1 / 3, 11: -1e-9}, "learning.learning_rate": 1e-7 / 3}
    )
    again = Setup.from_yaml(setup.to_yaml())
    assert again == setup
    assert again.mask.zernike_rad == {5: 1 / 3, 11: -1e-9}


def test_setup_is_frozen() -> None:
    setup = load_setup("demo1")
    with pytest.raises(ValidationError):
        setup.optics.wavelength_um = 0.5  # type: ignore[misc]
    with pytest.raises(ValidationError):
        setup.name = "other"  # type: ignore[misc]


def test_replace_checks_and_leaves_the_original() -> None:
    setup = load_setup("demo1")
    assert setup.replace({"volume.height_px": 64}).volume.height_px == 64
    assert setup.volume.height_px == 121
    with pytest.raises(InputError, match=r"volume\.margin_px"):
        setup.replace({"volume.height_px": 40})


def test_overrides_change_the_named_field_only() -> None:
    setup = load_setup("demo3", ["learning.epochs=3", "blur.sigma_range_px=[1, 1.5]", "name=mine"])
    assert setup.learning.epochs == 3
    assert setup.blur.sigma_range_px == (1.0, 1.5)
    assert setup.name == "mine"
    reverted = setup.replace({"learning.epochs": 50, "blur.sigma_range_px": [0.75, 1.25], "name": "demo3"})
    assert reverted == load_setup("demo3")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("optics.numerical_aperure=1.4", "did you mean `numerical_aperture`"),
        ("optic.wavelength_um=0.5", "did you mean `optics`"),
        ("optics.wavelength_um", "section.field=value"),
        ("optics.wavelength_um=green", "optics.wavelength_um: got 'green'"),
        ("optics.wavelength_um=-1", "greater than 0"),
        ("optics.wavelength_um=.nan", "optics.wavelength_um"),
        ("optics.wavelength_um=[", "not valid YAML"),
        ("volume.margin_px=yes", "volume.margin_px: got True"),
        ("volume.margin_px=61", "at most 60"),
        ("volume.z_min_um=6", "volume.z_max_um"),
        ("volume.height_px=1001", "FFT grid"),
        ("mask.size_px=328", "odd"),
        ("mask.size_px=401", "larger than the FFT grid"),
        ("optics.numerical_aperture=1.6", "n_oil"),
        ("signal.distribution=gama", "'uniform' or 'gamma'"),
        ("signal.distribution=gamma", "label_threshold"),
        ("signal.label_threshold=100", "gamma only"),
        ("emitters.count_range=[5, 5]", "count_range"),
        ("blur.sigma_range_px=[2, 1]", "write [1, 2]"),
        ("learning.peak_threshold=900", "scaling_factor"),
        ("training_set.validation_count=2", "one batch"),
        ("mask.zernike_rad={0: 1.0}", "start at 1"),
    ],
)
def test_wrong_values_are_refused_in_one_telling_line(override: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        load_setup("demo3", [override])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pixel_mismatch_is_refused_with_the_pixel_that_fits() -> None:
    with pytest.raises(InputError) as caught:
        load_setup("quickstart_voxel", ["mask.size_px=101", "optics.slm_pixel_um=60.9"])
    fitting = str(caught.value).split("optics.slm_pixel_um=")[1].split()[0]
    setup = load_setup("quickstart_voxel", ["mask.size_px=101", f"optics.slm_pixel_um={fitting}"])
    assert setup.optics.fft_size_px == pytest.approx(101, rel=1e-5)


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(InputError) as caught:
        Setup.from_yaml("optics: {n_oil: a}\nvolume: {deph_voxels: 3}\n")
    assert "optics.n_oil" in str(caught.value)
    assert "did you mean `depth_voxels`" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "optics: [1, 2]\n", "optics: {a\n", "just words", "optic: {n_oil: 1.5}\n"]
)
def test_files_that_are_no_setup_are_refused(tmp_path, text: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"my\.yaml"):
        load_setup(file)


def test_unknown_preset_and_missing_file() -> None:
    with pytest.raises(InputError, match="did you mean `demo3`"):
        load_setup("dmo3")
    with pytest.raises(InputError, match=r"nowhere\.yaml: No such file"):
        load_setup("nowhere.yaml")


def test_a_file_remembers_its_folder_without_changing_equality(tmp_path) -> None:
    setup = load_setup("demo1")
    setup.save(tmp_path / "s.yaml")
    again = load_setup(tmp_path / "s.yaml")
    assert again == setup
    assert again.base_folder == tmp_path


def test_saving_into_a_forbidden_place_says_so(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        load_setup("demo1").save(tmp_path / "file" / "s.yaml")


def test_written_yaml_needs_no_python_types() -> None:
    assert isinstance(yaml.safe_load(load_setup("demo5").to_yaml())["emitters"]["count_range"], list)


def test_with_mask_carries_the_mask_and_saves_it_beside(tmp_path):
    mask_rad = np.random.default_rng(0).normal(size=(203, 203))
    setup = Setup.create({"mask": {"source": "tetrapod", "zernike_rad": {5: 0.3}}})
    changed = setup.with_mask(mask_rad, "printed.npy").replace({"learning.epochs": 3})
    assert changed.mask.source == "printed.npy" and changed.mask.zernike_rad == {}
    np.testing.assert_array_equal(load_mask(changed), mask_rad)
    changed.save(tmp_path / "setup.yaml")
    again = load_setup(tmp_path / "setup.yaml")
    assert again == changed
    np.testing.assert_array_equal(load_mask(again), mask_rad)


def test_with_mask_takes_the_masks_size_and_refuses_an_even_one():
    assert Setup.create({}).with_mask(np.zeros((201, 201))).mask.size_px == 201
    with pytest.raises(InputError, match=r"mask\.size_px: got 202, must be odd"):
        Setup.create({}).with_mask(np.zeros((202, 202)))
