"""What a camera pixel larger than the light's finest detail makes of an image's spectrum.

The intensity of a point spread function holds no detail finer than λ/2NA; a camera whose pixel is larger than half of
that undersamples it. In the spectrum, frequencies beyond half a cycle a pixel are folded back: an order q of the
sampled image that repeats every P pixels is the sum of the light's orders q + aP over whole numbers a. For an emitter
that moves by x pixels these turn by exp(-2πi (q + aP) x / P) = exp(-2πi q x / P) · exp(-2πi a x): the phase of order q
itself, and a factor that depends on the place inside the pixel only and is the same for all orders.
"""

from __future__ import annotations

import math

import numpy as np

from ds3d_tf.optics.pupil import PupilGrids

# Samples a pixel beyond the fewest, so that the window of an image, too, which blurs its spectrum, is well sampled.
_SPARE_SAMPLES = 0.1


def highest_frequency(grids: PupilGrids) -> float:
    """Return the highest frequency along x or y in an unblurred image, cycles per camera pixel.

    An image's spectrum is the pupil's correlation with itself, so it reaches as far as the pupil is wide.
    """
    rows = np.flatnonzero(grids.support.any(axis=1))
    return float(rows[-1] - rows[0]) / grids.fft_size


def samples_per_pixel(grids: PupilGrids) -> int:
    """Return how many samples a camera pixel (along x or y) hold all detail of an unblurred image; 1 if one does."""
    needed = 2 * highest_frequency(grids)
    return 1 if needed < 1 else math.ceil(needed + _SPARE_SAMPLES)


def seen_frequency(orders: np.ndarray, period_px: float) -> np.ndarray:
    """Return the frequency, at most half a cycle a pixel, that a camera takes each order of an image for.

    Args:
        orders: int ``[K]``, whole cycles in a period, no unit.
        period_px: camera pixels after which the image repeats.

    Returns:
        float64 ``[K]``, cycles a camera pixel.
    """
    frequency = orders / period_px
    return frequency - np.rint(frequency)


def folds(fineness: int) -> list[tuple[int, int]]:
    """Return the (rows, columns) a ≠ (0, 0) by which orders of an image of so many samples a pixel are folded back.

    Of a and -a only one.
    """
    most = fineness // 2
    every = [(ay, ax) for ay in range(-most, most + 1) for ax in range(-most, most + 1)]
    return [fold for fold in every if fold > (0, 0)]


def folded_orders(spectrum: np.ndarray, periods_px: tuple[int, int], fold: tuple[int, int]) -> np.ndarray:
    """Return the orders q + aP of an image for all orders q that a camera sees.

    Args:
        spectrum: complex ``[Z, n Py, n Px]``, Fourier coefficients of real images of n samples a pixel, any unit.
        periods_px: (Py, Px), camera pixels after which the images repeat.
        fold: a, (rows, columns).

    Returns:
        complex ``[Z, Py, Px // 2 + 1]`` in NumPy's order of rows, the unit of ``spectrum``; 0 where there is no such
        order.
    """
    places, known = [], []
    for axis, period in enumerate(periods_px):
        size = spectrum.shape[axis + 1]
        seen = np.fft.fftfreq(period, 1 / period) if axis == 0 else np.arange(period // 2 + 1)
        orders = seen.astype(int) + fold[axis] * period
        places.append(orders % size)
        known.append(2 * np.abs(orders) < size)
    return spectrum[:, places[0][:, None], places[1]] * (known[0][:, None] & known[1])
