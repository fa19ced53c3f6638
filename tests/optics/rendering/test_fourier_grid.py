"""SLM pixels that fit no whole Fourier grid, against a direct sum over the SLM pixels in 64-bit NumPy."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
from fft_reference import blur, relative_l2

from ds3d_tf.common.errors import InputError
from ds3d_tf.optics import pupil
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.rendering.fast import FastRenderer
from ds3d_tf.optics.rendering.undersampling import samples_per_pixel
from ds3d_tf.optics.rendering.vectorial import dipole_pupils, evanescent_decay, vectorial_grids
from ds3d_tf.setup import Setup, load_setup

# λ f / (slm_pixel camera_pixel): 99.85 samples, 0.85 % from the nearest grid that keeps a mask of 91 pixels centred
SLM_PIXEL_UM = 61.0


def _setup(*changes, model="scalar"):
    common = ["mask.source=zernike", "mask.zernike_rad={6: 1.0, 7: 0.6, 12: -0.4}", "mask.size_px=91"]
    common += [f"optics.slm_pixel_um={SLM_PIXEL_UM}", f"optics.model={model}"]
    common += ["volume.height_px=31", "volume.width_px=36", "volume.margin_px=0", "volume.z_max_um=0.8"]
    return load_setup("quickstart_voxel", [*common, *changes])


def _direct(setup, mask, xyz_um):
    """Return the image of one photon: Fraunhofer's sum over SLM pixels for every camera pixel, lengths on chip and SLM.

    A wave from the SLM's place ξ meets the chip at u with the phase -2π ξ u / (λ f).
    """
    optics, volume = setup.optics, setup.volume
    n = setup.mask.size_px
    slm_um = (np.arange(n) - (n - 1) / 2) * optics.slm_pixel_um
    k = 2 * np.pi / optics.wavelength_um
    x, y, z = xyz_um
    if optics.model == "vectorial":
        grids = vectorial_grids(optics, n, volume.focus_um)
        fields = dipole_pupils(optics, grids) * np.exp(-max(z, 0) * evanescent_decay(optics, grids))
        phase = z * grids.axial_rad_per_um + grids.focus_rad
    else:
        sine = np.hypot(slm_um[:, None], slm_um) * optics.numerical_aperture / optics.n_oil
        sine *= 2 / (optics.pupil_diameter_px * optics.slm_pixel_um) * n / (n - 1)  # N samples from edge to edge
        in_water = sine * optics.n_oil / optics.n_water
        passes = (sine < optics.numerical_aperture / optics.n_oil) & (in_water < 1)
        fields = passes[None].astype(float)
        phase = z * k * optics.n_water * np.sqrt(np.where(passes, 1 - in_water**2, 0))
        phase -= volume.focus_um * k * optics.n_oil * np.sqrt(np.where(passes, 1 - sine**2, 0))
    fields = fields * np.exp(1j * (mask + phase))

    def waves(size, shift_um):
        chip_um = (np.arange(size) - size // 2) * optics.camera_pixel_um - shift_um * optics.magnification
        return np.exp(-2j * np.pi * np.outer(chip_um, slm_um) / (optics.wavelength_um * optics.focal_length_um))

    image = waves(volume.height_px, y) @ fields @ waves(volume.width_px, x).T
    # Light per area: a chip of one period (λ f / slm_pixel) across catches all of it.
    share = optics.camera_pixel_um * optics.slm_pixel_um / (optics.wavelength_um * optics.focal_length_um)
    return np.sum(np.abs(image) ** 2, axis=0) * share**2 / np.sum(np.abs(fields) ** 2)


PLACES = np.array([[0.0, 0.0, 0.1], [1.31, -0.87, 0.6], [-1.77, 1.52, 0.8]])


@pytest.mark.parametrize("model", ["scalar", "vectorial"])
@pytest.mark.parametrize("changes", [[], ["optics.camera_pixel_um=16.3"], ["mask.size_px=121"]])
def test_images_are_those_of_a_direct_sum(model, changes):
    setup = _setup(*changes, model=model)
    assert not float(setup.optics.fft_size_px).is_integer()
    mask = load_mask(setup)
    got = exact_renderer(setup.optics, setup.volume, mask, dtype="float64").psf(PLACES, np.ones(len(PLACES))).numpy()
    for image, place in zip(got, PLACES, strict=True):
        np.testing.assert_allclose(image, _direct(setup, mask, place), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("model", ["scalar", "vectorial"])
@pytest.mark.parametrize(
    ("changes", "fineness"),
    [
        ([], 1),  # windows longer than the frame
        (["volume.height_px=57"], 1),  # the whole period along y only
        (["volume.height_px=20", "volume.width_px=53", "optics.camera_pixel_um=18.1"], 2),  # and too large pixels
    ],
)
def test_the_fast_renderer_keeps_its_limit(model, changes, fineness):
    setup = _setup(*changes, model=model)
    mask = load_mask(setup)
    fast = FastRenderer(setup.optics, setup.volume, mask, (0.9, 1.1))
    assert samples_per_pixel(exact_renderer(setup.optics, setup.volume, mask).grids) == fineness
    for place in PLACES:
        got = fast(place[None, None], np.ones((1, 1)), np.full((1, 1), 0.97)).numpy()[0]
        assert relative_l2(got, blur(_direct(setup, mask, place), 0.97)) < 1e-3


def test_the_image_model_of_the_refinement():
    from ds3d_tf.refinement.images import image_model

    setup = _setup("volume.height_px=99", "volume.width_px=99")
    mask = load_mask(setup)
    model = image_model(setup.optics, setup.volume, mask).wide
    for place in PLACES * [0.6, 0.6, 1]:
        image = model.images(place[None], np.array([0.97]))[0]
        top, left = model.corners(place[None])[0] + 99 // 2
        wanted = blur(_direct(setup, mask, place), 0.97)
        inside = wanted[top : top + model.window_px, left : left + model.window_px]
        middle = slice(6, -6)
        assert relative_l2(image[middle, middle], inside[middle, middle]) < 5e-3


def test_a_bead_stack_s_model():
    from ds3d_tf.calibration.retrieval.model import BeadStackModel

    setup = _setup()
    mask = load_mask(setup)
    model = BeadStackModel(setup.optics, 91, (31, 36), 0.3)
    found = model(
        mask[model.crop, model.crop].astype(np.float32),
        np.array([[0.4, -0.7]], np.float32),
        np.array([setup.volume.focus_um], np.float32),
        np.float32(0.97),
    ).numpy()[0]
    assert relative_l2(found, blur(_direct(setup, mask, (0.4, -0.7, 0.3)), 0.97)) < 1e-4


def test_whole_grids_are_the_same_with_both():
    exact, rounded = (
        _setup("optics.slm_pixel_um=60.3", f"optics.fourier_grid={grid}") for grid in ("exact", "rounded")
    )
    fitting = exact.optics.slm_pixel_um * exact.optics.fft_size_px / 101
    sizes = [pupil.fft_size(setup.replace({"optics.slm_pixel_um": fitting}).optics, 91) for setup in (exact, rounded)]
    assert sizes == [101, 101]


def test_a_rounded_grid_says_how_far_it_is_off(caplog):
    with pytest.raises(InputError, match=r"optics\.fourier_grid: .*exact"):
        _setup("optics.fourier_grid=rounded")
    pupil._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        load = load_setup("demo3")
        assert pupil.fft_size(load.optics, 329) == 329
        exact = load.optics.model_copy(update={"fourier_grid": "exact"})
        assert pupil.fft_size(exact, 329) == pytest.approx(0.58 * 1.5e5 / (24 * 11))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "optics.fourier_grid=exact" in caplog.text


def test_files_written_before_the_choice_keep_their_grid():
    written = load_setup("quickstart")
    text = re.sub(r",\s+fourier_grid: exact", "", written.to_yaml())
    assert "fourier_grid" not in text and written.optics.fourier_grid == "exact"
    assert Setup.from_yaml(text).optics.fourier_grid == "rounded"
    assert Setup.from_yaml("optics: {slm_pixel_um: 30.1}").optics.fourier_grid == "exact"
    assert Setup.from_yaml(written.to_yaml()) == written
