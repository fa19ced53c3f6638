"""The vectorial renderer against integrals of Richards and Wolf, conservation laws and the scalar limit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from scipy.special import j0, j1, jv

from ds3d_tf.jobs.simulate import simulate
from ds3d_tf.localization.regenerate import regenerate
from ds3d_tf.optics.crlb import localization_bound
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact import ExactRenderer
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.rendering.fast import FastRenderer
from ds3d_tf.optics.rendering.vectorial import VectorialRenderer, dipole_pupils, evanescent_decay, vectorial_grids
from ds3d_tf.setup import load_setup
from ds3d_tf.setup.sections import OpticsSection, VolumeSection
from ds3d_tf.simulation.stream import default_renderer, simulate_frames

SIZE = 203


def optics(**changes) -> OpticsSection:
    return OpticsSection(**{"slm_pixel_um": 20.0, "model": "vectorial", "polarization": "x", **changes})


def volume(**changes) -> VolumeSection:
    return VolumeSection(**{"height_px": 31, "width_px": 31, "margin_px": 2, "focus_um": 0.0, **changes})


def image(renderer: ExactRenderer, z_um: float, x_um: float = 0.0) -> np.ndarray:
    return renderer.psf(tf.constant([[x_um, 0.0, z_um]], tf.float64), tf.ones(1, tf.float64)).numpy()[0]


def bessel_integrals(section: OpticsSection, radius_um: np.ndarray, z_um: float, focus_um: float) -> list[np.ndarray]:
    """Return the integrals over the angle in oil of Richards and Wolf's kind, for an interface: float64 arithmetic."""
    theta = (np.arange(6000) + 0.5) / 6000 * np.arcsin(section.numerical_aperture / section.n_oil)
    k = 2 * np.pi / section.wavelength_um
    sin_o, cos_o = np.sin(theta), np.cos(theta)
    sin_w = sin_o * section.n_oil / section.n_water
    cos_w = np.sqrt(1 - sin_w**2 + 0j)
    # Fresnel's coefficients as textbooks print them (Born & Wolf 1.5.2), from water (w) into oil (o)
    t_s = 2 * section.n_water * cos_w / (section.n_water * cos_w + section.n_oil * cos_o)
    t_p = 2 * section.n_water * cos_w / (section.n_oil * cos_w + section.n_water * cos_o)
    weyl = section.n_oil * cos_o / (section.n_water * cos_w)
    phase = np.exp(1j * k * (section.n_water * cos_w * z_um - section.n_oil * cos_o * focus_um))
    # the pupil's area element sin cos dθ times the field, apodized by 1/sqrt(cos)
    weight = weyl * phase * sin_o * np.sqrt(cos_o)
    kr = k * section.n_oil * sin_o * radius_um[:, None]
    return [
        np.sum(weight * (t_p * cos_w + t_s) * j0(kr), axis=1),
        np.sum(weight * t_p * sin_w * j1(kr), axis=1),
        np.sum(weight * (t_p * cos_w - t_s) * jv(2, kr), axis=1),
    ]


@pytest.mark.parametrize(("n_water", "z_um", "focus_um"), [(1.33, 0.0, 0.0), (1.33, 0.05, 0.4), (1.33, 0.8, 0.5)])
def test_images_are_those_of_bessel_integrals(n_water: float, z_um: float, focus_um: float) -> None:
    section = optics(n_water=n_water, slm_pixel_um=5.0)
    size = 583  # fine SLM pixels: the critical angle is a sharp ring in the pupil
    found = image(VectorialRenderer(section, volume(focus_um=focus_um), np.zeros((size, size)), dtype="float64"), z_um)
    centre = np.arange(31) - 15
    y, x = np.meshgrid(centre, centre, indexing="ij")
    # the grid's pixel differs slightly from the camera's: compare at the positions the grid stands for
    pixel_um = section.pixel_um * section.fft_size_px / vectorial_grids(section, size, 0.0).fft_size
    phi = np.arctan2(y, x)
    squares, where = np.unique(x**2 + y**2, return_inverse=True)
    integrals = bessel_integrals(section, pixel_um * np.sqrt(squares), z_um, focus_um)
    i0, i1, i2 = (integral[where].reshape(x.shape) for integral in integrals)
    expected = (
        np.abs(i0 - i2 * np.cos(2 * phi)) ** 2  # dipole along x
        + np.abs(i2 * np.sin(2 * phi)) ** 2  # along y
        + 4 * np.abs(i1 * np.cos(phi)) ** 2  # along z
    )
    expected *= found.sum() / expected.sum()
    np.testing.assert_allclose(found, expected, atol=0.005 * expected.max())


def test_photons_are_kept_at_every_height() -> None:
    section = optics(polarization="none")
    mask = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    grid = vectorial_grids(section, SIZE, 0.0).fft_size
    whole = VectorialRenderer(section, volume(height_px=grid, width_px=grid), mask)
    for z_um in (0.0, 0.1, 1.0, 4.0):
        assert image(whole, z_um).sum() == pytest.approx(1, rel=2e-5)


def test_a_dipole_in_a_uniform_medium_sends_its_share_into_the_cone() -> None:
    # A freely rotating dipole radiates evenly: the share collected is that of the solid angle, (1 - cos θ) / 2.
    light = []
    for aperture in (0.6, 1.4):
        section = optics(numerical_aperture=aperture, n_water=1.518, polarization="none", slm_pixel_um=10.0)
        grids = vectorial_grids(section, 321, 0.0)
        fields = dipole_pupils(section, grids)
        centre = np.abs(fields[:, 160, 160]) ** 2
        area = (aperture / 1.518) ** 2 / np.count_nonzero(grids.support)  # of a pixel, in (sin θ)²
        light.append(np.sum(np.abs(fields) ** 2) / centre.sum() * area)
        assert np.all(evanescent_decay(section, grids) == 0)
    cosine = np.sqrt(1 - (np.array([0.6, 1.4]) / 1.518) ** 2)
    assert light[1] / light[0] == pytest.approx((1 - cosine[1]) / (1 - cosine[0]), rel=0.01)


def test_at_low_aperture_it_is_the_scalar_model() -> None:
    section = optics(numerical_aperture=0.2, n_water=1.518, slm_pixel_um=41.0, camera_pixel_um=38.0)
    frame = volume(focus_um=2.0)
    mask = np.add.outer(np.linspace(-3, 3, 31) ** 2, np.linspace(-2, 2, 31) ** 3)
    for z_um in (0.0, 5.0):
        vectorial = image(VectorialRenderer(section, frame, mask, dtype="float64"), z_um)
        scalar = image(ExactRenderer(section, frame, mask, dtype="float64"), z_um)
        assert np.abs(vectorial - scalar).max() < 0.02 * scalar.max()


def test_polarizations_are_each_other_turned_and_add_up() -> None:
    mask = np.random.default_rng(1).normal(size=(SIZE, SIZE))
    images = {}
    for polarization, phase in (("x", mask), ("y", mask), ("none", mask), ("turned", mask.T)):
        section = optics(polarization="y" if polarization == "turned" else polarization)
        renderer = exact_renderer(section, volume(), phase, dtype="float64")
        assert isinstance(renderer, VectorialRenderer)
        images[polarization] = image(renderer, 0.3)
    np.testing.assert_allclose(images["turned"], images["x"].T, rtol=1e-9)
    np.testing.assert_allclose(2 * images["none"], images["x"] + images["y"], rtol=1e-9)


def test_streams_take_the_model_of_the_setup_in_the_fast_renderer() -> None:
    setup = load_setup("quickstart_voxel", ["optics.model=vectorial", "optics.polarization=y"])
    fast = default_renderer(setup)
    assert isinstance(fast, FastRenderer)
    xyz, photons, blur = tf.constant([[[0.3, -0.2, 0.1]]]), tf.constant([[1000.0]]), tf.constant([[1.0]])
    exact = VectorialRenderer(setup.optics, setup.volume, load_mask(setup))(xyz, photons, blur)
    assert float(tf.norm(fast(xyz, photons, blur) - exact) / tf.norm(exact)) < 1e-3
    scalar = default_renderer(setup.replace({"optics.model": "scalar"}))(xyz, photons, blur)
    assert float(tf.norm(scalar - exact) / tf.norm(exact)) > 0.1


def test_simulations_and_their_regeneration_are_vectorial_where_the_setup_is(tmp_path) -> None:
    setup = load_setup("quickstart_voxel", ["optics.model=vectorial", "optics.polarization=x", "training_set.seed=4"])
    simulate(setup, tmp_path / "frames", count=2)
    stored = load_setup(tmp_path / "frames" / "setup.yaml")
    assert stored.optics == setup.optics
    one = simulate_frames(setup, 2, seed=4).frames
    np.testing.assert_allclose(tifffile.imread(tmp_path / "frames" / "frames.tif"), one, atol=0.5)
    assert np.abs(one - simulate_frames(setup.replace({"optics.model": "scalar"}), 2, seed=4).frames).max() > 50
    xyz = np.array([[0.2, -0.1, 0.3]])
    picture = VectorialRenderer(setup.optics, setup.volume, load_mask(setup)).psf(xyz, [500.0], [1.0])[0].numpy()
    again = regenerate(picture + 7, xyz, setup, load_mask(setup))
    assert again.explained > 0.9999 and again.photons[0] == pytest.approx(500, rel=0.01)


def test_the_bound_is_that_of_the_vectorial_image() -> None:
    setup = load_setup("quickstart_voxel", ["optics.model=vectorial", "volume.height_px=25", "volume.width_px=25"])
    mask, at, blur = load_mask(setup), np.array([0.02, -0.05, 0.4]), tf.constant([0.9], tf.float64)
    found = localization_bound(
        exact_renderer(setup.optics, setup.volume, mask), at[None], 4000.0, background=9.0, blur_sigma_px=0.9
    )
    reference = VectorialRenderer(setup.optics, setup.volume, mask, dtype="float64")
    step, one = 1e-4, tf.ones(1, tf.float64)
    shifts = np.concatenate([np.zeros((1, 3)), step * np.eye(3), -step * np.eye(3)])
    picture, *ends = (reference.psf(tf.constant(at[None] + shift), one, blur)[0].numpy() for shift in shifts)
    slopes = [4000 * (ends[axis] - ends[axis + 3]) / (2 * step) for axis in range(3)]
    slopes = np.stack([*slopes, picture, np.ones_like(picture)])
    information = np.einsum("iab,jab->ij", slopes / (4000 * picture + 9), slopes)
    expected = 1000 * np.sqrt(np.diag(np.linalg.inv(information)))[:3]
    np.testing.assert_allclose([found.x_nm[0], found.y_nm[0], found.z_nm[0]], expected, rtol=1e-3)


def test_frames_are_the_sum_of_lone_images_and_the_mask_is_differentiable() -> None:
    mask = np.random.default_rng(2).normal(size=(101, 101))
    section = optics(slm_pixel_um=60.3)
    renderer = exact_renderer(section, volume(), mask, dtype="float64")
    xyz = tf.constant([[[0.0, 0.1, 0.2], [0.4, -0.3, 1.0], [0, 0, 0]]], tf.float64)
    photons, blur = tf.constant([[1000.0, 500.0, 0.0]], tf.float64), tf.ones([1, 3], tf.float64)
    frame = renderer(xyz, photons, blur)
    lone = renderer.psf(xyz[0, :2], photons[0, :2], blur[0, :2])
    np.testing.assert_allclose(frame[0], tf.reduce_sum(lone, axis=0), rtol=1e-9, atol=1e-9)

    def energy(phase: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(renderer(xyz, photons, blur, phase) ** 2)

    phase = tf.constant(mask)
    with tf.GradientTape() as tape:
        tape.watch(phase)
        value = energy(phase)
    direction = np.random.default_rng(3).normal(size=mask.shape)
    step = 1e-5
    numeric = (energy(mask + step * direction) - energy(mask - step * direction)) / (2 * step)
    assert float(tf.reduce_sum(tape.gradient(value, phase) * direction)) == pytest.approx(float(numeric), rel=1e-6)
