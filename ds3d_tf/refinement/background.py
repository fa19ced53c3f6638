"""A smooth background: tensor products of cubic B-splines with a penalty on their roughness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MAX_KNOT_DISTANCE_PX = 12.0
_MIN_KNOT_DISTANCE_PX = 6.0
# A background bends over a share of the field of view: simulated ones are at least a fifth of the frame wide.
_KNOTS_PER_FRAME = 5


@dataclass(frozen=True, eq=False)
class SplineBackground:
    """Surfaces ``Σ_pq c_pq rows_p(y) columns_q(x)``.

    Attributes:
        rows: float32 ``[P, H]``, the B-splines along y, no unit; they sum to 1 in every pixel.
        columns: float32 ``[Q, W]``, the B-splines along x, no unit.
        roughness: float64 ``[P Q, P Q]``, the quadratic form of the sum of squared second differences of c, no unit.
        row_pairs: float32 ``[P P, H]``, products of the B-splines along y, no unit.
        column_pairs: float32 ``[W, Q Q]``, the same along x, no unit.
    """

    rows: np.ndarray
    columns: np.ndarray
    roughness: np.ndarray
    row_pairs: np.ndarray
    column_pairs: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of coefficients along y and x."""
        return len(self.rows), len(self.columns)

    def surface(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the surface: float32 ``[H, W]``, photoelectrons.

        Args:
            coefficients: float ``[P Q]``, photoelectrons a pixel.
        """
        c = coefficients.reshape(self.shape).astype(np.float32)
        return (self.rows.T @ c) @ self.columns

    def projected(self, images: np.ndarray) -> np.ndarray:
        """Return the sums of images times every B-spline: float32 ``[N, P Q]``, the images' unit.

        Args:
            images: float32 ``[N, H, W]``, of any unit.
        """
        return (self.rows @ (images @ self.columns.T)).reshape(len(images), self.shape[0] * self.shape[1])

    def gram(self, weights: np.ndarray) -> np.ndarray:
        """Return the weighted products of the B-splines with each other: float32 ``[P Q, P Q]``, unit of the weights.

        Args:
            weights: float32 ``[H, W]``, of any unit.
        """
        p, q = self.shape
        products = (self.row_pairs @ weights) @ self.column_pairs
        return products.reshape(p, p, q, q).transpose(0, 2, 1, 3).reshape(p * q, p * q)


def inner_splines(spline: SplineBackground, rows: slice, columns: slice) -> tuple[slice, slice]:
    """Return which B-splines along y and along x are 0 outside some rows and columns of the frame."""
    return _inside(spline.rows, rows), _inside(spline.columns, columns)


def _inside(basis: np.ndarray, pixels: slice) -> slice:
    outside = np.ones(basis.shape[1], bool)
    outside[pixels] = False
    inner = np.flatnonzero(~basis[:, outside].any(axis=1))
    return slice(int(inner[0]), int(inner[-1]) + 1) if len(inner) else slice(0, 0)


def cut_background(
    spline: SplineBackground, rows: slice, columns: slice, inner: tuple[slice, slice]
) -> SplineBackground:
    """Return some of the B-splines on some rows and columns (pixels) of a frame."""
    down, across = spline.rows[inner[0], rows], spline.columns[inner[1], columns]
    p, q = spline.shape
    roughness = spline.roughness.reshape(p, q, p, q)[inner[0], inner[1], inner[0], inner[1]]
    size = len(down) * len(across)
    return SplineBackground(
        down,
        across,
        roughness.reshape(size, size),
        (down[:, None] * down).reshape(-1, down.shape[1]),
        (across[:, None] * across).reshape(-1, across.shape[1]).T,
    )


@lru_cache(maxsize=32)
def spline_background(height_px: int, width_px: int) -> SplineBackground:
    """Return the B-splines of a frame, their knots a fifth of the smaller side apart, but 6 to 12 pixels."""
    knot_distance_px = min(height_px, width_px) / _KNOTS_PER_FRAME
    knot_distance_px = min(max(knot_distance_px, _MIN_KNOT_DISTANCE_PX), MAX_KNOT_DISTANCE_PX)
    rows, columns = (_splines(size, knot_distance_px) for size in (height_px, width_px))
    down, across = (_second_differences(len(basis)) for basis in (rows, columns))
    roughness = np.kron(down.T @ down, np.eye(len(columns))) + np.kron(np.eye(len(rows)), across.T @ across)
    row_pairs = (rows[:, None] * rows).reshape(-1, height_px)
    column_pairs = (columns[:, None] * columns).reshape(-1, width_px).T
    return SplineBackground(
        rows.astype(np.float32),
        columns.astype(np.float32),
        roughness,
        np.ascontiguousarray(row_pairs, np.float32),
        np.ascontiguousarray(column_pairs, np.float32),
    )


def no_background(height_px: int, width_px: int) -> SplineBackground:
    """Return the B-splines of a frame whose background is not fitted: none."""
    return SplineBackground(
        np.zeros((0, height_px), np.float32),
        np.zeros((0, width_px), np.float32),
        np.zeros((0, 0)),
        np.zeros((0, height_px), np.float32),
        np.zeros((width_px, 0), np.float32),
    )


def _splines(size_px: int, knot_distance_px: float) -> np.ndarray:
    """Return uniform cubic B-splines at pixel centres: float64 ``[P, size]``."""
    intervals = max(round(size_px / knot_distance_px), 1)
    place = np.arange(size_px) * (intervals / max(size_px - 1, 1))
    distance = np.abs(place - (np.arange(intervals + 3) - 1)[:, None])
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def _second_differences(count: int) -> np.ndarray:
    return np.diff(np.eye(count), n=2, axis=0)
