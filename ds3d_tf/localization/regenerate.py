"""A frame rebuilt from its localizations, with the photon counts that fit it best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ds3d_tf.setup import Setup

_FRACTION_KEPT = 1e-5
_CHUNK_EMITTERS = 16


@dataclass(frozen=True, eq=False)
class RegeneratedFrame:
    """A frame as rebuilt from its localizations.

    Attributes:
        image: float32 ``[H, W]`` (row, column), counts.
        photons: float64 ``[K]``, photons of each localization.
        background: float64 ``[H, W]``, counts: the smooth part of ``image`` that belongs to no localization.
        explained: share of the frame's variance that the image explains, at most 1.
    """

    image: np.ndarray
    photons: np.ndarray
    background: np.ndarray
    explained: float


def regenerate(frame: np.ndarray, xyz_um: np.ndarray, setup: Setup, mask_rad: np.ndarray) -> RegeneratedFrame:
    """Return the sum of point spread functions and a smooth background that comes closest to a frame.

    Photons (not negative) and background (a polynomial of second order) are fitted together by least squares;
    the blur of the emitters is the middle of the setup's range.

    Args:
        frame: float ``[H, W]`` (row, column), counts.
        xyz_um: float ``[K, 3]`` (x, y, z), µm, x = y = 0 at the centre of pixel (H // 2, W // 2).
        setup: the ``Setup`` of the optics.
        mask_rad: float ``[N, N]`` (rows along y), rad.

    Raises InputError if the mask does not fit the optics.
    """
    from scipy.optimize import lsq_linear
    from scipy.sparse import csr_array, hstack

    frame = np.asarray(frame, np.float64)
    xyz_um = np.reshape(np.asarray(xyz_um, np.float64), (-1, 3))
    smooth = _smooth_columns(frame.shape)
    columns = hstack([*_images(frame.shape, xyz_um, setup, mask_rad), csr_array(smooth)], format="csr")
    # The normal equations have one row per emitter instead of one per pixel.
    gram = (columns.T @ columns).toarray()
    scale = 1 / np.sqrt(np.diag(gram).clip(1e-300))
    values, vectors = np.linalg.eigh(gram * np.outer(scale, scale))
    # Emitters at the same position make the equations singular: they then share the photons.
    root = np.sqrt(values.clip(values.max() * 1e-10))
    right = vectors.T @ (scale * (columns.T @ frame.ravel())) / root
    lowest = np.r_[np.zeros(len(xyz_um)), np.full(smooth.shape[1], -np.inf)]
    weights = lsq_linear(root[:, np.newaxis] * vectors.T, right, (lowest, np.inf)).x * scale
    image = (columns @ weights).reshape(frame.shape)
    variance = np.var(frame)
    explained = 1 - np.var(frame - image) / variance if variance else 1.0
    background = (smooth @ weights[len(xyz_um) :]).reshape(frame.shape)
    return RegeneratedFrame(image.astype(np.float32), weights[: len(xyz_um)], background, float(explained))


def _smooth_columns(shape: tuple[int, ...]) -> np.ndarray:
    """Return 1, x, y, x², xy, y² over the frame as columns ``[H·W, 6]``."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    return np.stack([x**0, x, y, x**2, x * y, y**2], axis=-1).reshape(-1, 6)


def _images(shape: tuple[int, ...], xyz_um: np.ndarray, setup: Setup, mask_rad: np.ndarray) -> list[Any]:
    """Return the images of one photon of each emitter as sparse columns ``[H·W, chunk]``."""
    from scipy.sparse import csr_array

    from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer

    volume = setup.volume.model_copy(update={"height_px": shape[0], "width_px": shape[1]})
    renderer = exact_renderer(setup.optics, volume, mask_rad)
    blur = float(np.mean(setup.blur.sigma_range_px))
    columns = []
    for start in range(0, len(xyz_um), _CHUNK_EMITTERS):
        chunk = xyz_um[start : start + _CHUNK_EMITTERS].astype(np.float32)
        ones = np.ones(len(chunk), np.float32)
        images = renderer.psf(chunk, ones, blur * ones).numpy().reshape(len(chunk), -1)
        images[images < images.max(axis=1, keepdims=True) * _FRACTION_KEPT] = 0
        columns.append(csr_array(images.T.astype(np.float64)))
    return columns
