"""The Cramér–Rao bound against finite differences of a float64 NumPy renderer, published figures and limits."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.jobs.crlb import crlb
from ds3d_tf.optics.crlb import localization_bound
from ds3d_tf.optics.crlb_curve import bound_over_z, root_mean_square, typical_conditions
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.setup import Setup, load_setup


def numpy_image(setup: Setup, mask: np.ndarray, x_um: float, y_um: float, z_um: float, blur_px: float) -> np.ndarray:
    """Return a lone emitter's image of one photon by a full FFT, written from the formulas of the scalar model."""
    o, n = setup.optics, len(mask)
    pad = round((o.wavelength_um * o.focal_length_um / (o.slm_pixel_um * o.camera_pixel_um) - n) / 2)
    xi = (np.arange(n) - (n - 1) / 2) * o.slm_pixel_um
    diameter = 2 * o.focal_length_um * o.numerical_aperture / np.sqrt(o.magnification**2 - o.numerical_aperture**2)
    line = np.linspace(-1, 1, n) * o.numerical_aperture / o.n_oil * n / (diameter / o.slm_pixel_um)
    sin_oil = np.hypot(*np.meshgrid(line, line))
    sin_water = sin_oil * o.n_oil / o.n_water
    passes = (sin_oil < o.numerical_aperture / o.n_oil) & (sin_water < 1)
    k = 2 * np.pi / o.wavelength_um
    lateral = k * o.magnification * xi / o.focal_length_um
    phase = mask + x_um * lateral[None, :] + y_um * lateral[:, None]
    phase = phase + z_um * k * o.n_water * np.sqrt(1 - np.where(passes, sin_water, 0) ** 2)
    phase = phase - setup.volume.focus_um * k * o.n_oil * np.sqrt(1 - np.where(passes, sin_oil, 0) ** 2)
    pupil = np.pad(passes * np.exp(1j * phase), pad)
    power = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(pupil)))) ** 2
    power /= power.sum()
    centre, rows, columns = len(pupil) // 2, setup.volume.height_px, setup.volume.width_px
    power = power[centre - rows // 2 :, centre - columns // 2 :][:rows, :columns]
    taps = np.exp(-(np.arange(-4, 5) ** 2) / (2 * blur_px**2)) / np.sqrt(2 * np.pi) / blur_px
    for axis in (0, 1):
        power = np.apply_along_axis(np.convolve, axis, power, taps, mode="same")
    return power


@pytest.mark.parametrize("preset", ["quickstart_voxel", "demo1"])
def test_bound_is_that_of_finite_differences_in_float64(preset: str) -> None:
    setup = load_setup(preset, ["mask.source=astigmatic", "volume.height_px=41", "volume.width_px=41"])
    mask = load_mask(setup)
    photons, background, read_noise, blur = 5000.0, 12.0, 3.0, 0.9
    xyz = np.array([[0.03, -0.05, 0.4], [-0.1, 0.02, 0.9]])
    found = localization_bound(
        exact_renderer(setup.optics, setup.volume, mask),
        xyz,
        photons,
        background=background,
        read_noise=read_noise,
        blur_sigma_px=blur,
    )
    step = 1e-4
    for index, position in enumerate(xyz):
        image = numpy_image(setup, mask, *position, blur)
        slopes = [
            (numpy_image(setup, mask, *(position + shift), blur) - numpy_image(setup, mask, *(position - shift), blur))
            / (2 * step)
            for shift in step * np.eye(3)
        ]
        slopes = np.stack([photons * slope for slope in slopes] + [image, np.ones_like(image)])
        mean = photons * image + background
        information = np.einsum("iab,jab->ij", slopes / (mean + read_noise**2), slopes)
        expected = np.sqrt(np.diag(np.linalg.inv(information)))
        expected[:3] *= 1000
        bound = [found.x_nm, found.y_nm, found.z_nm, found.photons, found.background]
        np.testing.assert_allclose([values[index] for values in bound], expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("preset", "photons", "background", "read_noise", "lateral_nm", "axial_nm", "digits"),
    [("demo3", 35000, 75, 0, 4.5, 5.1, 0.05), ("demo1", 9000, 0, 10, 19, 23, 0.5)],
)
def test_bound_of_the_demos(
    data,
    preset: str,
    photons: float,
    background: float,
    read_noise: float,
    lateral_nm: float,
    axial_nm: float,
    digits: float,
) -> None:
    # the figures noted with the reference data, root mean square over nine depths
    setup = load_setup(preset)
    z_um = np.linspace(setup.volume.z_min_um, setup.volume.z_max_um, 9)
    conditions = typical_conditions(
        setup, photons=photons, background=background, read_noise=read_noise, blur_sigma_px=1.0
    )
    bound = bound_over_z(exact_renderer(setup.optics, setup.volume, load_mask(setup)), z_um, conditions)
    assert root_mean_square(bound.lateral_nm) == pytest.approx(lateral_nm, abs=digits)
    assert root_mean_square(bound.z_nm) == pytest.approx(axial_nm, abs=digits)


def test_precision_grows_with_the_root_of_the_photons() -> None:
    setup = load_setup("quickstart_voxel")
    renderer = exact_renderer(setup.optics, setup.volume, load_mask(setup), dtype="float64")
    xyz = np.array([[0.0, 0.0, 0.3]])
    few = localization_bound(renderer, xyz, 1000.0, background=1.0)
    many = localization_bound(renderer, xyz, 4000.0, background=4.0)
    assert many.lateral_nm == pytest.approx(few.lateral_nm / 2, rel=1e-9)
    assert many.z_nm == pytest.approx(few.z_nm / 2, rel=1e-9)


def test_typical_conditions_are_the_means_of_the_setup() -> None:
    storm = typical_conditions(load_setup("demo1"))
    assert (storm.photons, storm.background, storm.read_noise) == (9000.0, 0.0, 10.0)
    telomeres = typical_conditions(load_setup("demo3"), photons=1.0)
    assert (telomeres.photons, telomeres.background, telomeres.blur_sigma_px) == (1.0, 75.0, 1.0)


def test_wrong_arguments_are_named() -> None:
    setup = load_setup("quickstart_voxel")
    renderer = exact_renderer(setup.optics, setup.volume, load_mask(setup))
    with pytest.raises(ValueError, match="xyz_um"):
        localization_bound(renderer, np.zeros(3), 1.0, background=1.0)
    with pytest.raises(ValueError, match="background"):
        localization_bound(renderer, np.zeros((1, 3)), 1.0)


def test_job_writes_figure_and_table(tmp_path) -> None:
    setup = load_setup("quickstart_voxel")
    out = tmp_path / "bound.png"
    told: list[tuple[str, int, int | None]] = []
    done = crlb(setup, out, z_positions=5, compare=("flat",), progress=lambda *call: told.append(call))
    assert list(done.bounds_nm) == ["astigmatic", "flat"] and told == [("bounds", n, 2) for n in (0, 1, 2)]
    lateral, axial = done.bounds_nm["flat"]
    assert f"flat: lateral {lateral:.1f} nm, axial {axial:.1f} nm" in done.summary() and lateral > 0 < axial
    assert out.stat().st_size > 10_000
    assert len(out.with_suffix(".csv").read_text().splitlines()) == 6
    with pytest.raises(InputError, match="overwrite"):
        crlb(setup, out)
    with pytest.raises(InputError, match="photons"):
        crlb(setup, tmp_path / "other.png", photons=-1)
