"""Phase retrieval: its model against the renderers, its gradient against differences, known masks found again."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize
from scipy.special import xlogy

from ds3d_tf.calibration.retrieval.loss import misfit, roughness, signal_and_background
from ds3d_tf.calibration.retrieval.model import BeadStackModel
from ds3d_tf.calibration.retrieval.options import RetrievalOptions
from ds3d_tf.calibration.retrieval.retrieve import retrieve
from ds3d_tf.calibration.retrieval.stack import bead_centre_px, correlations
from ds3d_tf.optics.pupil import pupil_grids
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.zernike import zernike_phase
from ds3d_tf.setup.sections import OpticsSection, VolumeSection

TETRAPOD = {5: 0.6, 6: -1.0, 7: 0.5, 8: 0.4, 11: 0.3, 12: 1.2, 13: -0.8, 14: 0.4, 18: 0.3, 21: -0.4}
SMALL = ({"slm_pixel_um": 60.3}, 101, 45)
FULL_SIZE = [
    ({"wavelength_um": 0.605, "camera_pixel_um": 16.0, "slm_pixel_um": 20.0, "focal_length_um": 1.5e5}, 219, 81),
    ({}, 203, 81),
]


def smooth_mask(optics: OpticsSection, size: int) -> np.ndarray:
    grids = pupil_grids(optics, size, 0.0)
    mask = zernike_phase(TETRAPOD, grids.pupil_x[None, :], grids.pupil_x[:, None])
    return np.where(grids.pupil_radius < 1, mask, 0)


def stack_shapes(
    model: BeadStackModel, mask: np.ndarray, nfp_um: np.ndarray, offset_um: tuple[float, float]
) -> np.ndarray:
    phase = tf.constant(mask[model.crop, model.crop], tf.float32)
    parts = []
    for begin in range(0, len(nfp_um), 8):
        nfp = tf.constant(nfp_um[begin : begin + 8], tf.float32)
        offset = tf.tile(tf.constant([offset_um], tf.float32), [len(nfp), 1])
        parts.append(model(phase, offset, nfp, tf.constant(0.7)).numpy())
    return np.concatenate(parts)


@pytest.mark.parametrize("kind", ["scalar", "vectorial"])
def test_the_bead_is_what_the_renderer_shows(kind: str) -> None:
    optics = OpticsSection(slm_pixel_um=60.3, model=kind, polarization="x")
    mask = smooth_mask(optics, 101)
    nfp_um = np.array([-1.0, 0.2, 1.5])
    found = stack_shapes(BeadStackModel(optics, 101, (45, 44), 0.1), mask, nfp_um, (0.07, -0.2))
    for focus, image in zip(nfp_um, found, strict=True):
        volume = VolumeSection(height_px=45, width_px=44, margin_px=3, focus_um=focus, z_min_um=0.0, z_max_um=1.0)
        renderer = exact_renderer(optics, volume, mask, dtype="float64")
        expected = renderer.psf(
            tf.constant([[0.07, -0.2, 0.1]], tf.float64), tf.ones(1, tf.float64), tf.constant([0.7], tf.float64)
        )[0].numpy()
        np.testing.assert_allclose(image, expected, atol=3e-6 * expected.max())


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
@pytest.mark.parametrize("kind", ["scalar", "vectorial"])
def test_gradient_of_the_likelihood_to_the_mask(kind: str, likelihood: str) -> None:
    optics = OpticsSection(slm_pixel_um=60.3, model=kind, polarization="y")
    model = BeadStackModel(optics, 101, (31, 31), 0.0)
    rng = np.random.default_rng(0)
    nfp_um = np.array([-0.8, 0.6])
    slices = tf.constant(
        rng.poisson(3000 * stack_shapes(model, smooth_mask(optics, 101), nfp_um, (0.0, 0.0)) + 5.0), tf.float32
    )
    phase = tf.constant(0.3 * rng.normal(size=model.support.shape), tf.float32)

    def loss(phase: tf.Tensor) -> tf.Tensor:
        offset = tf.constant([[0.05, 0.0]] * 2, tf.float32)
        return misfit(model(phase, offset, tf.constant(nfp_um, tf.float32), tf.constant(0.8)), slices, likelihood)

    with tf.GradientTape() as tape:
        tape.watch(phase)
        value = loss(phase)
    gradient = tape.gradient(value, phase)
    # along the gradient: a step in a random direction would drown in float32's rounding
    direction = gradient / tf.norm(gradient)
    step = 0.5
    numeric = (
        8 * (loss(phase + step * direction) - loss(phase - step * direction))
        - (loss(phase + 2 * step * direction) - loss(phase - 2 * step * direction))
    ) / (12 * step)
    assert float(tf.norm(gradient)) == pytest.approx(float(numeric), rel=1e-3)


def test_signal_and_background_are_the_likeliest() -> None:
    rng = np.random.default_rng(1)
    shape = rng.random((1, 12, 12)) ** 6
    shape /= shape.sum()
    counts = rng.poisson(4000 * shape + 3.0)

    def deviance(parameters: np.ndarray) -> float:
        mean = parameters[0] * shape + parameters[1]
        return float(2 * np.sum(mean - counts + xlogy(counts, np.maximum(counts, 1)) - xlogy(counts, mean)))

    best = minimize(deviance, [3000.0, 5.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    images, slices = tf.constant(shape, tf.float32), tf.constant(counts, tf.float32)
    signal, background = signal_and_background(images, slices, "poisson")
    assert (float(signal[0]), float(background[0])) == pytest.approx(tuple(best.x), rel=1e-3)
    assert float(misfit(images, slices, "poisson")) == pytest.approx(best.fun / counts.size, rel=1e-5)
    design = np.stack([shape.ravel(), np.ones(shape.size)], axis=1)
    expected = np.linalg.lstsq(design, counts.ravel(), rcond=None)[0]
    signal, background = signal_and_background(images, slices, "gaussian")
    assert (float(signal[0]), float(background[0])) == pytest.approx(tuple(expected), rel=1e-4)


def test_roughness_counts_curvature_and_not_wraps() -> None:
    y, x = np.mgrid[:20, :20].astype(np.float32)
    inside = tf.ones([20, 20])
    slope = tf.constant(0.1 * x - 0.05 * y)
    first, second = roughness(slope, inside)
    assert float(first) == pytest.approx(20 * 19 * 2 * (2 - np.cos(0.1) - np.cos(0.05)), rel=1e-4)
    assert float(second) == pytest.approx(0, abs=1e-3)
    wrapped = tf.constant(np.angle(np.exp(1j * slope.numpy())))
    assert [float(v) for v in roughness(wrapped, inside)] == pytest.approx([float(first), float(second)], abs=2e-3)


def phase_error(found: np.ndarray, truth: np.ndarray, model: BeadStackModel) -> float:
    """Return the rms difference over the support, rad, after piston, tilt and defocus."""
    inside = model.support
    wave = np.where(inside, np.exp(1j * (found - truth)), 0)
    spectrum = np.abs(np.fft.fft2(wave, s=(1024, 1024)))
    tilt = [2 * np.pi * np.fft.fftfreq(1024)[k] for k in np.unravel_index(spectrum.argmax(), spectrum.shape)]
    place = np.arange(len(found)) - (len(found) - 1) / 2
    x, y = np.meshgrid(place, place)
    focus = model.grids.focus_rad[model.crop, model.crop]
    columns = np.stack([x[inside] / len(place), y[inside] / len(place), focus[inside] / focus[inside].std()], axis=1)
    values = (wave * np.exp(-1j * (tilt[1] * x + tilt[0] * y)))[inside]
    best = min(
        (
            minimize(
                lambda c: -np.abs(np.mean(values * np.exp(-1j * columns @ c))),
                [0, 0, guess],
                method="Nelder-Mead",
                options={"maxiter": 600, "xatol": 1e-4, "fatol": 1e-9},
            )
            for guess in (-2, -1, -0.5, 0, 0.5, 1, 2)
        ),
        key=lambda result: result.fun,
    )
    aligned = values * np.exp(-1j * columns @ best.x)
    return float(np.sqrt(np.mean(np.angle(aligned / aligned.mean()) ** 2)))


def retrieved_error(kind: str, optics: OpticsSection, size: int, frame: int, likelihood: str = "poisson") -> float:
    optics = optics.model_copy(update={"model": kind, "polarization": "x"})
    nfp_um = np.linspace(-2, 2, 41)
    model = BeadStackModel(optics, size, (frame, frame), 0.0)
    mask = smooth_mask(optics, size)
    shapes = stack_shapes(model, mask, nfp_um, (0.03, -0.05))
    stack = np.random.default_rng(0).poisson(20000 * shapes + 20.0).astype(np.float32)
    result = retrieve(stack, nfp_um, optics, size, options=RetrievalOptions(likelihood=likelihood))
    assert result.blur_sigma_px == pytest.approx(0.7, abs=0.03)
    assert result.signal == pytest.approx(20000, rel=0.05)
    assert result.background == pytest.approx(20, rel=0.05)
    return phase_error(result.mask_rad[model.crop, model.crop], mask[model.crop, model.crop], model)


@pytest.mark.parametrize("kind", ["scalar", "vectorial"])
def test_a_known_mask_is_found_again(kind: str) -> None:
    changes, size, frame = SMALL
    assert retrieved_error(kind, OpticsSection(**changes), size, frame) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scalar", "vectorial"])
@pytest.mark.parametrize(("changes", "size", "frame"), FULL_SIZE)
def test_a_known_mask_is_found_again_at_full_size(kind: str, changes: dict, size: int, frame: int) -> None:
    error = retrieved_error(kind, OpticsSection(**changes), size, frame)
    print(f"{kind}, mask of {size} pixels: {error:.3f} rad rms")
    assert error < 0.15


def test_centre_and_correlation() -> None:
    y, x = np.mgrid[:31, :40]
    spot = 100 * np.exp(-((x - 23.5) ** 2 + (y - 11.0) ** 2) / 8)[None] + 7
    assert bead_centre_px(spot) == pytest.approx((3.5, -4.0), abs=0.05)
    other = np.random.default_rng(0).normal(size=(2, 31, 40))
    pair = np.stack([spot[0], spot[0]])
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(pair, other, strict=True)]
    np.testing.assert_allclose(correlations(pair, other), expected, rtol=1e-9)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="nfp_um"):
        retrieve(np.zeros((3, 9, 9)), np.zeros(4), OpticsSection(), 203)
    with pytest.raises(ValueError, match="likelihood"):
        retrieve(np.zeros((3, 9, 9)), np.zeros(3), OpticsSection(), 203, options=RetrievalOptions(likelihood="x"))
