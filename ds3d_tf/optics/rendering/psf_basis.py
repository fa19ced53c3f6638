"""A point spread function of one mask as a few spectra: any height, any sub-pixel position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.rendering.undersampling import folded_orders, folds, samples_per_pixel, seen_frequency
from ds3d_tf.setup.sections import OpticsSection, VolumeSection

_TAPER_PX = 16
_PLANES_AT_A_TIME = 8
# Folded orders make the error depend on the place inside a pixel, so a check of a few places may miss the worst.
_UNDERSAMPLED_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class PsfBasis:
    """Images of one photon at x = y = 0: ``spectrum(z) = Σ_r coefficients_r(z) spectra_r``.

    A spectrum holds the Fourier coefficients of an image that repeats every ``periods_px``, sign and order of rows:
    ky = 0, 1 … Ky, -1 … -Ky; columns kx = 0, 1 … Kx (the others are their conjugates).

    Attributes:
        z_low_um: height of the first row of ``coefficients``, µm.
        z_step_um: height between its rows, µm.
        coefficients: float32 ``[T, R]``, no unit.
        folded_by: int ``[R, 2]``, a (rows, columns): for an emitter at x, y pixels a spectrum's coefficient is to be
            multiplied by cos(2π (a_y y + a_x x - quarter_turns / 4)); 0 where pixels are small.
        quarter_turns: int ``[R]``, see ``folded_by``, no unit.
        spectra: complex64 ``[R, 2 Ky + 1, Kx + 1]``, photons.
        periods_px: (rows, columns), camera pixels; need not be whole.
        pixels_per_um: camera pixels by which an image moves for 1 µm.
        whole_period: whether the period is the Fourier grid's own, so that any position may be asked for.
    """

    z_low_um: float
    z_step_um: float
    coefficients: np.ndarray
    folded_by: np.ndarray
    quarter_turns: np.ndarray
    spectra: np.ndarray
    periods_px: tuple[float, float]
    pixels_per_um: float
    whole_period: bool


def psf_basis(
    optics: OpticsSection,
    volume: VolumeSection,
    mask: np.ndarray,
    sharpest_sigma_px: float,
    margin_px: float,
    tolerance: float,
) -> PsfBasis:
    """Return the basis of a mask's point spread function over the depth range of a volume.

    The exact renderer draws it at Chebyshev heights, on samples fine enough for the light; a singular value
    decomposition of those images, blurred as little as they ever will be, finds the few spectra that span them.

    Args:
        optics: the setup's optics section.
        volume: the setup's volume section.
        mask: float ``[N, N]``, phase mask, rad (rows along y, columns along x).
        sharpest_sigma_px: smallest blur that will be applied, camera pixels.
        margin_px: emitters keep this distance from the frame's border, camera pixels.
        tolerance: relative error (L2, of a blurred image) allowed to the number of spectra and to their size, each.

    Raises InputError if the mask does not fit the optics.
    """
    grids = exact_renderer(optics, volume, mask).grids
    fineness = samples_per_pixel(grids)
    if fineness > 1:
        tolerance *= _UNDERSAMPLED_SHARE
    sizes = (volume.height_px, volume.width_px)
    periods = [_period(size, margin_px, grids.fft_size) for size in sizes]
    # Camera pixels repeat together with the image only if its period is whole: else every order stays by itself.
    whole = all(period % 2 == 1 for period in periods)
    samples = [fineness * int(period) if whole else math.ceil(fineness * period) | 1 for period in periods]
    windows = [
        _window(size - margin_px, period, count) if period < grids.fft_size else np.ones(count)
        for size, period, count in zip(sizes, periods, samples, strict=True)
    ]
    stack = volume.model_copy(update={"height_px": samples[0], "width_px": samples[1]})
    renderer = exact_renderer(optics, stack, mask, spacing_px=(periods[0] / samples[0], periods[1] / samples[1]))

    axial = grids.axial_rad_per_um[grids.support]
    # Heights change phases between two pupil points by at most this; polynomials in z need that degree and a few.
    turn = float(np.ptp(axial)) * (volume.z_max_um - volume.z_min_um)
    heights = _chebyshev(math.ceil(turn / 2) + 24, volume.z_min_um, volume.z_max_um)
    drawn: list[list[np.ndarray]] = []
    for begin in range(0, len(heights), _PLANES_AT_A_TIME):
        z = heights[begin : begin + _PLANES_AT_A_TIME]
        planes = renderer.psf(np.stack([0 * z, 0 * z, z], axis=1), np.ones(len(z))).numpy()
        planes = planes.astype(np.float64) * windows[0][:, None] * windows[1]
        shifted = np.roll(planes, (-(samples[0] // 2), -(samples[1] // 2)), axis=(1, 2))
        drawn.append(_spectra(shifted, periods, fineness if whole else 1))
    spectra = [np.concatenate(parts) for parts in zip(*drawn, strict=True)]
    spectra, sharp = _cropped(spectra, periods, sharpest_sigma_px, tolerance)

    norms = np.sqrt(sum(np.sum(part**2, axis=(1, 2)) for part in sharp))
    groups = [sharp[:1], *(sharp[1 + 2 * number : 3 + 2 * number] for number in range(len(sharp) // 2))]
    directions = _main_directions(groups, norms, tolerance)
    vectors = [directions[0]]
    basis = [np.tensordot(vectors[0] / norms[:, None], spectra[0], axes=(0, 0))]
    folded_by, quarters = [(0, 0)] * len(basis[0]), [0] * len(basis[0])
    for number, (fold, own) in enumerate(zip(folds(fineness if whole else 1), directions[1:], strict=True)):
        pair = spectra[1 + 2 * number : 3 + 2 * number]
        there, back = (np.tensordot(own / norms[:, None], part, axes=(0, 0)) for part in pair)
        # exp(-iθ) there + exp(iθ) back, with cos θ and, a quarter turn later, sin θ as factors
        vectors += [own, own]
        basis += [there + back, 1j * (back - there)]
        folded_by += [fold] * (2 * own.shape[1])
        quarters += [0] * own.shape[1] + [1] * own.shape[1]

    steps = math.ceil(turn / 0.1) + 4
    step = (volume.z_max_um - volume.z_min_um) / (steps - 3)
    table_z = volume.z_min_um + step * (np.arange(steps) - 1)
    polynomials = np.polynomial.Chebyshev.fit
    degree = len(heights) - 1
    domain = [volume.z_min_um, volume.z_max_um]
    columns = np.concatenate(vectors, axis=1)
    table = np.stack([polynomials(heights, c * norms, degree, domain)(table_z) for c in columns.T], axis=1)
    return PsfBasis(
        z_low_um=float(table_z[0]),
        z_step_um=step,
        coefficients=table.astype(np.float32),
        spectra=np.concatenate(basis).astype(np.complex64),
        folded_by=np.array(folded_by),
        quarter_turns=np.array(quarters),
        periods_px=(periods[0], periods[1]),
        pixels_per_um=float(np.diff(grids.lateral_rad_per_um).mean() * grids.fft_size / (2 * math.pi)),
        whole_period=all(period == grids.fft_size for period in periods),
    )


def _period(size_px: int, margin_px: float, fft_size: float) -> float:
    """Return the period of an axis: long enough for the image to fade before it ends, or the Fourier grid's own.

    Pixels are at most ``size - margin`` from an emitter; if the Fourier grid is no longer than twice that, its own
    period, with what it wraps round, is the model.
    """
    return min(2 * (math.ceil(size_px - margin_px) + _TAPER_PX) + 1, fft_size)


def _window(reach_px: float, period_px: float, samples: int) -> np.ndarray:
    """Return the window, by sample, that makes an image fade before its period ends."""
    reach = math.ceil(reach_px)
    beyond = np.abs(np.arange(samples) - samples // 2) * (period_px / samples) - reach
    return np.cos(np.pi / 2 * np.clip(beyond / (_TAPER_PX + 1), 0, 1)) ** 2


def _spectra(images: np.ndarray, periods: list[float], fineness: int) -> list[np.ndarray]:
    """Return the spectra that a camera sees of images ``[Z, n Py, n Px]``, each ``[Z, Py, Px // 2 + 1]``.

    The image's own orders, and for each of :func:`folds` those folded back from there and from the other side.
    """
    count = images.shape[1] * images.shape[2]
    if fineness == 1:
        return [np.fft.rfft2(images) / count]
    whole = np.fft.fft2(images) / count
    wanted = [(0, 0)]
    for fold in folds(fineness):
        wanted += [fold, (-fold[0], -fold[1])]
    return [folded_orders(whole, (int(periods[0]), int(periods[1])), fold) for fold in wanted]


def _main_directions(groups: list[list[np.ndarray]], norms: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Return for each group ``[Z, R]``: the fewest combinations of heights that span all spectra but for the tolerance.

    The first group costs one spectrum a combination, the others two.
    """
    gram_vectors, caught, worth = [], [], []
    missed = np.zeros(len(norms))
    for number, group in enumerate(groups):
        relative = np.concatenate([part.reshape(len(norms), -1) for part in group], axis=1) / norms[:, None]
        values, vectors = np.linalg.eigh(relative @ relative.T)
        vectors = vectors[:, ::-1]
        gram_vectors.append(vectors)
        caught.append((vectors * (relative @ (relative.T @ vectors))).clip(0))
        worth.append(values[::-1] / (1 if number == 0 else 2))
        missed += np.sum(relative**2, axis=1)
    ranks = [0] * len(groups)
    while missed.max() > tolerance**2:
        best = max(range(len(groups)), key=lambda number: worth[number][ranks[number]])
        missed = missed - caught[best][:, ranks[best]]
        ranks[best] += 1
    return [vectors[:, :rank] for vectors, rank in zip(gram_vectors, ranks, strict=True)]


def _chebyshev(count: int, low: float, high: float) -> np.ndarray:
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)[::-1]
    return (low + high) / 2 + (high - low) / 2 * nodes


def _cropped(
    spectra: list[np.ndarray], periods: list[float], sigma_px: float, tolerance: float
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the orders that matter, and their magnitude in an image blurred by sigma (as real numbers).

    Each ``[Z, 2 Ky + 1, Kx + 1]`` and ``[Z, 2 Ky + 1, 2 (Kx + 1)]``.
    """
    rows = spectra[0].shape[1]
    ky = np.rint(np.fft.fftfreq(rows, 1 / rows)).astype(int)
    kx = np.arange(spectra[0].shape[2])
    down, across = _transfer(ky, periods[0], sigma_px)[:, None], _transfer(kx, periods[1], sigma_px)
    sharp = [part * down * across * np.where(kx > 0, math.sqrt(2), 1) for part in spectra]
    # Orders folded onto one another may add up, wherever in a pixel that is.
    energy = sum(np.abs(part) for part in sharp) ** 2 if len(sharp) > 1 else np.abs(sharp[0]) ** 2
    energy /= energy.sum(axis=(1, 2), keepdims=True)
    orders = []
    for k, marginal in ((ky, energy.sum(axis=2)), (kx, energy.sum(axis=1))):
        lost = [marginal[:, np.abs(k) > most].sum(axis=1).max() for most in range(np.abs(k).max() + 1)]
        orders.append(int(np.argmax(np.array(lost) <= tolerance**2 / 2)))
    kept = np.r_[0 : orders[0] + 1, -1 : -orders[0] - 1 : -1]
    spectra, sharp = ([part[:, kept, : orders[1] + 1] for part in value] for value in (spectra, sharp))
    return spectra, [np.concatenate([part.real, part.imag], axis=2) for part in sharp]


def _transfer(k: np.ndarray, period_px: float, sigma_px: float) -> np.ndarray:
    return np.exp(-2 * (np.pi * sigma_px * seen_frequency(k, period_px)) ** 2)
