"""Pictures in which each molecule is a Gaussian as wide as its own uncertainty.

Two ways give the same picture. *Stamps* add each molecule's own Gaussian, integrated over pixels: exact, best for few
molecules. *Classes* put molecules of about one width into the picture by bilinear shares, widest first, and blur the
picture between classes by what two widths differ: the time grows with the pixels, hardly with the molecules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from scipy.ndimage import correlate1d
from scipy.special import erf

from ds3d_tf.postprocessing.pictures.histogram import AT_A_TIME

_REACH = 3.5  # standard deviations that a stamp holds
_CLASS_RATIO = 1.12
_STAMP_NS, _BLUR_NS = 9.0, 30.0  # for a pixel of a stamp, and for a pixel of a picture and class
_STAMPED_VALUES = 4_000_000
_PIXEL_VARIANCE = 1 / 12  # of a box of one pixel
_BILINEAR_VARIANCE = 1 / 6  # of bilinear shares, on average

Watch = Callable[[int], None]


def add_gaussians(
    planes: np.ndarray,
    at_px: np.ndarray,
    sigma_px: np.ndarray,
    weights: np.ndarray | None,
    watch: Watch = lambda done: None,
    *,
    way: str = "",
) -> None:
    """Add molecules as Gaussians of sum one, integrated over pixels.

    Args:
        planes: float32 ``[C, rows, columns]`` to add to: the number of molecules, then sums of the weights (no unit).
        at_px: float ``[N, 2]`` (column, row), pixels.
        sigma_px: float ``[N, 2]``, standard deviations along columns and rows, pixels.
        weights: float32 ``[N, C - 1]``, no unit; None if there is one plane.
        watch: told how many molecules are done.
        way: "stamps" or "classes"; empty: the faster one.
    """
    if not way:
        stamped = float(np.sum(np.prod(2 * _half_widths(sigma_px) + 1.0, axis=1)))
        blurred = len(_class_edges(sigma_px)) * planes[0].size
        way = "stamps" if stamped * _STAMP_NS < blurred * _BLUR_NS else "classes"
    (_add_stamps if way == "stamps" else _add_classes)(planes, at_px, sigma_px, weights, watch)


def _half_widths(sigma_px: np.ndarray) -> np.ndarray:
    """Return int64 [N, 2]: pixels of a stamp on each side of its middle one, in steps, so that groups are few."""
    needed = np.ceil(_REACH * sigma_px + 0.5)
    step = np.maximum(1, 2.0 ** np.floor(np.log2(np.maximum(needed, 1)) - 2))
    return (np.ceil(needed / step) * step).astype(np.int64)


def _add_stamps(
    planes: np.ndarray, at_px: np.ndarray, sigma_px: np.ndarray, weights: np.ndarray | None, watch: Watch
) -> None:
    rows, columns = planes.shape[1:]
    flat = planes.reshape(len(planes), -1)
    half = _half_widths(sigma_px)
    done = 0
    for members in _groups(half):
        half_x, half_y = half[members[0]]
        batch = max(1, _STAMPED_VALUES // int((2 * half_x + 1) * (2 * half_y + 1)))
        for start in range(0, len(members), batch):
            chosen = members[start : start + batch]
            first = np.floor(at_px[chosen]).astype(np.int64) - (half_x, half_y)
            shares_x = _pixel_shares(at_px[chosen, 0] - first[:, 0], sigma_px[chosen, 0], 2 * half_x + 1)
            shares_y = _pixel_shares(at_px[chosen, 1] - first[:, 1], sigma_px[chosen, 1], 2 * half_y + 1)
            column = first[:, 0, None] + np.arange(2 * half_x + 1)
            row = first[:, 1, None] + np.arange(2 * half_y + 1)
            shares_x[(column < 0) | (column >= columns)] = 0
            shares_y[(row < 0) | (row >= rows)] = 0
            column, row = column.clip(0, columns - 1), row.clip(0, rows - 1)
            index = (row[:, :, None] * columns + column[:, None, :]).ravel()
            stamp = shares_y[:, :, None] * shares_x[:, None, :]
            np.add.at(flat[0], index, stamp.ravel())
            if weights is not None:
                for channel in range(weights.shape[1]):
                    np.add.at(flat[channel + 1], index, (stamp * weights[chosen, channel, None, None]).ravel())
            done += len(chosen)
            watch(done)


def _pixel_shares(centre_px: np.ndarray, sigma_px: np.ndarray, count: int) -> np.ndarray:
    """Return float32 [N, count]: the shares of Gaussians in each of some pixels, together one."""
    edges = np.arange(count + 1) - centre_px[:, None]
    below = erf(edges / (np.sqrt(2) * sigma_px[:, None]))
    shares = np.diff(below, axis=1)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _groups(half: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the indices of stamps of one size."""
    key = half[:, 0] * (half[:, 1].max(initial=0) + 1) + half[:, 1]
    order = np.argsort(key, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(order) else []


def _class_edges(sigma_px: np.ndarray) -> np.ndarray:
    """Return the limits of the classes: float64 [K - 1] widths along columns, pixels."""
    low, high = max(float(sigma_px[:, 0].min()), 0.3), max(float(sigma_px[:, 0].max()), 0.3)
    return np.asarray(low * _CLASS_RATIO ** np.arange(0, np.log(high / low) / np.log(_CLASS_RATIO) + 1)[1:])


def _add_classes(
    planes: np.ndarray, at_px: np.ndarray, sigma_px: np.ndarray, weights: np.ndarray | None, watch: Watch
) -> None:
    edges = _class_edges(sigma_px)
    which = np.searchsorted(edges, sigma_px[:, 0])
    order = np.argsort(which, kind="stable")
    ends = np.searchsorted(which[order], np.arange(len(edges) + 2))
    classes = [order[a:b] for a, b in pairwise(ends) if b > a]
    # Along rows, a class has the mean of its members; a narrower class must not be wider there.
    variances = np.array([np.square(sigma_px[members]).mean(axis=0) for members in classes])
    variances = np.maximum.accumulate(np.maximum(variances + _PIXEL_VARIANCE - _BILINEAR_VARIANCE, 0), axis=0)
    acc = np.zeros_like(planes) if planes.any() else planes
    done = 0
    with ThreadPoolExecutor(2) as pool:
        for k in reversed(range(len(classes))):
            for start in range(0, len(classes[k]), AT_A_TIME):
                chosen = classes[k][start : start + AT_A_TIME]
                _share(acc, at_px[chosen], None if weights is None else weights[chosen])
                done += len(chosen)
                watch(done)
            steps = variances[k] - (variances[k - 1] if k else 0)
            list(pool.map(lambda plane, steps=steps: _blur(plane, steps), acc))
    if acc is not planes:
        planes += acc


def _share(planes: np.ndarray, at_px: np.ndarray, weights: np.ndarray | None) -> None:
    """Add molecules to their four nearest pixels, so that their centre of mass is where they are."""
    rows, columns = planes.shape[1:]
    flat = planes.reshape(len(planes), -1)
    first = np.floor(at_px - 0.5).astype(np.int64)
    part = (at_px - 0.5 - first).astype(np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            cell = first + np.array([dx, dy])
            inside = ((at_px >= 0) & (at_px < (columns, rows))).all(axis=1)
            cell = cell.clip(0, (columns - 1, rows - 1))
            index = (cell[:, 1] * columns + cell[:, 0])[inside]
            share = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            np.add.at(flat[0], index, share[inside])
            if weights is not None:
                for channel in range(weights.shape[1]):
                    np.add.at(flat[channel + 1], index, (share * weights[:, channel])[inside])


def _blur(plane: np.ndarray, variance_px2: np.ndarray) -> None:
    """Blur a plane in place, so that its variance grows by so much along columns and rows; its sum stays."""
    for axis, variance in ((1, variance_px2[0]), (0, variance_px2[1])):
        if variance > 1e-6:
            correlate1d(plane, _kernel(float(variance)), axis=axis, output=plane, mode="reflect")


def _kernel(variance: float) -> np.ndarray:
    """Return a kernel of sum one with exactly this variance if it is small, else a sampled Gaussian's."""
    if variance <= 0.4:
        return np.array([variance / 2, 1 - variance, variance / 2])
    reach = int(np.ceil(4 * np.sqrt(variance)))
    values = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * variance))
    return np.asarray(values / values.sum())
