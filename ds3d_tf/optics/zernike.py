"""Zernike polynomials by Noll index, orthonormal on the unit disc."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def noll_to_nm(index: int) -> tuple[int, int]:
    """Return (n, m) of Noll's ``index`` (from 1); m < 0 means the sine (Noll, J. Opt. Soc. Am. 66, 207, 1976).

    Raises ValueError if ``index`` is below 1.
    """
    if index < 1:
        raise ValueError(f"index: expected a Noll index of at least 1, got {index}")
    n = (math.isqrt(8 * index - 7) - 1) // 2
    place = index - n * (n + 1) // 2 - 1
    m = place + (place + n) % 2
    return n, m if index % 2 == 0 else -m


def zernike(index: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Noll's Zernike polynomial at ``(x, y)``; its mean square over the unit disc is 1.

    Args:
        index: Noll index, from 1.
        x: float ``[...]``, pupil coordinate along columns, 1 at the disc's edge, no unit.
        y: float ``[...]``, the same along rows, no unit.

    Returns:
        float64 ``[...]``, radians for a coefficient of 1 rad rms (the polynomial is continued outside the disc).
    """
    n, m = noll_to_nm(index)
    order = abs(m)
    rho2 = np.asarray(x, np.float64) ** 2 + np.asarray(y, np.float64) ** 2
    # R_n^m(ρ) exp(imθ) = (x + iy)^m · polynomial in ρ²: no angle, hence no branch at the origin.
    radial = np.zeros_like(rho2)
    for k in range((n - order) // 2 + 1):
        coefficient = (-1) ** k * math.comb(n - k, k) * math.comb(n - 2 * k, (n - order) // 2 - k)
        radial += coefficient * rho2 ** ((n - order) // 2 - k)
    turning = (np.asarray(x) + 1j * np.asarray(y)) ** order
    angular = turning.imag if m < 0 else turning.real
    return math.sqrt((n + 1) * (1 if m == 0 else 2)) * radial * angular


def zernike_phase(coefficients_rad: Mapping[int, float], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the sum of Zernike polynomials.

    Args:
        coefficients_rad: Noll index → coefficient, rad rms.
        x: float ``[...]``, pupil coordinate along columns, 1 at the disc's edge, no unit.
        y: float ``[...]``, the same along rows, no unit.

    Returns:
        float64 ``[...]``, rad.
    """
    total = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)))
    for index, coefficient in coefficients_rad.items():
        total = total + coefficient * zernike(index, x, y)
    return total
