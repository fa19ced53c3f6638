"""Zernike polynomials, built-in masks, mask files and what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import scipy.io
import tifffile

from ds3d_tf.common.errors import InputError
from ds3d_tf.optics import pupil
from ds3d_tf.optics.masks import load_mask, read_mask
from ds3d_tf.optics.zernike import noll_to_nm, zernike
from ds3d_tf.setup import Setup, load_setup


def test_noll_indices():
    table = {
        1: (0, 0),
        2: (1, 1),
        3: (1, -1),
        4: (2, 0),
        5: (2, -2),
        6: (2, 2),
        7: (3, -1),
        8: (3, 1),
        9: (3, -3),
        10: (3, 3),
        11: (4, 0),
        12: (4, 2),
        13: (4, -2),
        14: (4, 4),
        15: (4, -4),
        22: (6, 0),
        37: (8, 0),
    }
    assert {index: noll_to_nm(index) for index in table} == table


def test_zernikes_are_orthonormal_on_the_disc():
    radii, weights = np.polynomial.legendre.leggauss(16)
    radii, weights = (radii + 1) / 2, weights / 2
    angle = 2 * np.pi * np.arange(32) / 32
    x, y = radii[:, None] * np.cos(angle), radii[:, None] * np.sin(angle)
    area = (weights * radii * 2)[:, None] / 32
    values = np.stack([zernike(index, x, y) for index in range(1, 29)])
    np.testing.assert_allclose(
        np.einsum("irt,jrt,rt->ij", values, values, area * np.ones((1, 32))), np.eye(28), atol=1e-12
    )


def test_astigmatism_is_written_out():
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    np.testing.assert_allclose(zernike(6, x, y), np.sqrt(6) * (x**2 - y**2), atol=1e-12)
    np.testing.assert_allclose(zernike(4, x, y), np.sqrt(3) * (2 * (x**2 + y**2) - 1), atol=1e-12)


def test_built_in_masks():
    flat = load_mask(load_setup("demo1", ["mask.source=flat"]))
    assert flat.shape == (203, 203)
    assert not flat.any()
    setup = load_setup("demo1", ["mask.source=astigmatic", "mask.astigmatism_rad=1.5"])
    mask = load_mask(setup)
    disc = pupil.pupil_grids(setup.optics, 203, 1.5).pupil_radius < 1
    assert np.sqrt((mask[disc] ** 2).mean()) == pytest.approx(1.5, rel=0.02)
    assert not mask[~disc].any()
    same = load_mask(load_setup("demo1", ["mask.source=zernike", "mask.zernike_rad={6: 1.5}"]))
    np.testing.assert_allclose(same, mask)
    added = load_mask(
        load_setup("demo1", ["mask.source=astigmatic", "mask.astigmatism_rad=1.0", "mask.zernike_rad={6: 0.5}"])
    )
    np.testing.assert_allclose(added, mask)


def test_files_of_each_kind_and_where_they_are_looked_for(tmp_path, monkeypatch):
    mask = np.random.default_rng(0).normal(size=(203, 203))
    for folder in ("beside", "current", "masks", "data/masks"):
        (tmp_path / folder).mkdir(parents=True)
    scipy.io.savemat(tmp_path / "beside" / "a.mat", {"phase": mask})
    np.save(tmp_path / "current" / "b.npy", mask)
    tifffile.imwrite(tmp_path / "masks" / "c.tif", mask)
    tifffile.imwrite(tmp_path / "data" / "masks" / "d.tiff", mask.astype(np.float32))
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("DS3D_MASKS", str(tmp_path / "masks"))
    monkeypatch.setenv("DS3D_DATA", str(tmp_path / "data"))
    (tmp_path / "beside" / "setup.yaml").write_text(load_setup("demo1").to_yaml())
    for name, tolerance in (("a.mat", 0), ("b.npy", 0), ("c.tif", 0), ("d.tiff", 1e-6)):
        setup = load_setup(tmp_path / "beside" / "setup.yaml", [f"mask.source={name}"])
        np.testing.assert_allclose(load_mask(setup), mask, atol=tolerance)
    setup = load_setup("demo1", [f"mask.source={tmp_path / 'masks' / 'c.tif'}"])
    np.testing.assert_array_equal(load_mask(setup), mask)
    with pytest.raises(InputError, match=r"e\.npy \(looked in .*current.*masks.*data.masks\).*in mask\.source"):
        load_mask(load_setup("demo1", ["mask.source=e.npy"]))


def test_mask_carried_in_memory():
    mask = np.random.default_rng(0).normal(size=(203, 203))
    setup = Setup.create({}, mask_rad=mask)
    np.testing.assert_array_equal(load_mask(setup), mask)
    with pytest.raises(InputError, match="NaN"):
        load_mask(Setup.create({}, mask_rad=mask * np.nan))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 7)), "square"),
        (np.zeros((6, 6)), "odd"),
        (np.zeros((3, 5, 5)), "square"),
        (np.array(1.0), "square"),
        (np.full((5, 5), np.nan), "NaN"),
        (np.zeros((5, 5), complex), "complex"),
        (np.array([["a"]]), "real numbers"),
    ],
)
def test_bad_arrays(tmp_path, array, message):
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(InputError, match=message) as error:
        read_mask(tmp_path / "m.npy")
    assert "\n" not in str(error.value)


def test_bad_files(tmp_path):
    for name in ("m.mat", "m.npy", "m.tif"):
        for content in (b"", b"no mask at all, but some bytes " * 20):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError, match=r"cannot be read|expected|damaged") as error:
                read_mask(tmp_path / name)
            assert "\n" not in str(error.value)
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match="holds Python objects"):
        read_mask(tmp_path / "pickled.npy")
    scipy.io.savemat(tmp_path / "two.mat", {"a": np.zeros((5, 5)), "b": np.zeros((5, 5))})
    with pytest.raises(InputError, match=r"one variable, got 2 \(a, b\)"):
        read_mask(tmp_path / "two.mat")


def test_wrong_size_and_unknown_names(tmp_path):
    np.save(tmp_path / "small.npy", np.zeros((101, 101)))
    with pytest.raises(InputError, match=r"101×101 but mask\.size_px is 203"):
        load_mask(load_setup("demo1", [f"mask.source={tmp_path / 'small.npy'}"]))
    with pytest.raises(InputError, match="did you mean astigmatic"):
        load_mask(load_setup("demo1", ["mask.source=astigmatc"]))
    with pytest.raises(InputError, match="zernike_rad is empty"):
        load_mask(load_setup("demo1", ["mask.source=zernike"]))
    np.save(tmp_path / "whole.npy", np.zeros((203, 203)))
    with pytest.raises(InputError, match="remove one of them"):
        load_mask(load_setup("demo1", [f"mask.source={tmp_path / 'whole.npy'}", "mask.zernike_rad={6: 1}"]))


def test_fourier_grid_is_checked(caplog):
    optics = load_setup("demo1").optics
    assert pupil.fft_size(optics, 203) == 203
    assert pupil.fft_size(optics, 101) == 203
    with pytest.raises(InputError, match="larger than the Fourier grid"):
        pupil.fft_size(optics, 205)
    with pytest.raises(InputError, match="different from the camera's"):
        pupil.fft_size(optics.model_copy(update={"focal_length_um": 4.93e4}), 99)
    with pytest.raises(InputError, match="odd"):
        pupil.pupil_grids(optics, 100, 1.5)
    pupil._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert pupil.fft_size(load_setup("demo3").optics, 329) == 329
    assert [record.levelname for record in caplog.records] == ["WARNING"]
