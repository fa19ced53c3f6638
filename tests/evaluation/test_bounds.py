"""The joint bound against brute force and the bound of lone emitters; ratios and pulls of drawn errors."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.evaluation.bounds import bound_ratio, joint_bound, pulls
from ds3d_tf.optics.crlb import localization_bound
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.setup import load_setup


@pytest.fixture(scope="module")
def renderer():
    setup = load_setup("quickstart_voxel", ["volume.height_px=31", "volume.width_px=31"])
    return exact_renderer(setup.optics, setup.volume, load_mask(setup), dtype="float64")


def test_joint_bound_is_that_of_finite_differences(renderer) -> None:
    xyz = np.array([[0.1, -0.05, 0.4], [-0.25, 0.2, 0.7], [0.5, 0.4, 0.2]])
    photons, blur = np.array([5000.0, 3000.0, 8000.0]), np.array([0.9, 1.0, 1.1])
    rows, columns = np.mgrid[:31, :31]
    background, noise = 5 + 0.2 * rows, 1 + 0.05 * columns

    def mean(xyz: np.ndarray, photons: np.ndarray) -> np.ndarray:
        return renderer.psf(xyz, photons, blur).numpy().sum(axis=0).ravel()

    slopes = []
    for index in range(3):
        for axis in range(3):
            step = np.zeros((3, 3))
            step[index, axis] = 1e-4
            slopes.append((mean(xyz + step, photons) - mean(xyz - step, photons)) / 2e-4)
        one = np.where(np.arange(3) == index, 1.0, 0.0)
        slopes.append((mean(xyz, photons + one) - mean(xyz, photons - one)) / 2)
    slopes.append(np.ones(31 * 31))
    variance = mean(xyz, photons) + (background + noise**2).ravel()
    expected = np.sqrt(np.diag(np.linalg.inv((np.array(slopes) / variance) @ np.array(slopes).T)))
    found = joint_bound(
        renderer, xyz, photons, background=background, read_noise=noise, blur_sigma_px=blur, chunk_emitters=2
    )
    got = np.column_stack([found.x_nm / 1000, found.y_nm / 1000, found.z_nm / 1000, found.photons])
    np.testing.assert_allclose(got.ravel(), expected[:-1], rtol=1e-4)
    np.testing.assert_allclose(found.background, expected[-1], rtol=1e-4)


def test_one_emitter_is_a_lone_one_and_neighbours_cost_precision(renderer) -> None:
    xyz, near = np.array([[0.0, 0.0, 0.3]]), np.array([[0.15, 0.1, 0.35]])
    lone = localization_bound(renderer, xyz, 4000.0, background=3.0, read_noise=2.0)
    one = joint_bound(renderer, xyz, 4000.0, background=3.0, read_noise=2.0)
    for name in ("x_nm", "y_nm", "z_nm", "photons", "background"):
        np.testing.assert_allclose(getattr(one, name), getattr(lone, name), rtol=1e-9)
    two = joint_bound(renderer, np.concatenate([xyz, near]), 4000.0, background=3.0, read_noise=2.0)
    assert two.x_nm[0] > 1.2 * one.x_nm[0] and two.z_nm[0] > 1.2 * one.z_nm[0]


def test_errors_drawn_from_the_bound_have_ratio_and_pulls_of_one() -> None:
    random = np.random.default_rng(0)
    sigma = np.repeat([[6.0, 6.0, 9.0]], 40_000, axis=0)
    error = random.normal(0, sigma)
    ratio = bound_ratio(error, sigma)
    figures = [ratio.lateral, ratio.axial, ratio.median_lateral, ratio.median_axial]
    np.testing.assert_allclose(figures, 1, atol=0.02)
    drawn = pulls(error, sigma)
    np.testing.assert_allclose(drawn.standard_deviation, 1, atol=0.02)
    np.testing.assert_allclose(drawn.within_one, 0.6827, atol=0.01)
    np.testing.assert_allclose(drawn.within_two, 0.9545, atol=0.01)
    doubled = pulls(2 * error + [0, 0, 18], sigma)
    np.testing.assert_allclose(doubled.standard_deviation, [2, 2, np.sqrt(8)], rtol=0.02)


def test_wrong_arguments_are_named(renderer) -> None:
    with pytest.raises(InputError, match="xyz_um"):
        joint_bound(renderer, np.zeros(3), 1.0, background=1.0)
    with pytest.raises(InputError, match="background"):
        joint_bound(renderer, np.zeros((1, 3)), 1.0)
    with pytest.raises(InputError, match="error_nm"):
        pulls(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(InputError, match="sigma_nm"):
        pulls(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="bound_nm"):
        bound_ratio(np.zeros((2, 3)), np.ones((1, 3)))
    assert len(joint_bound(renderer, np.zeros((0, 3)), 1.0, background=1.0).x_nm) == 0
