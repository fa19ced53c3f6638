"""Photons of a recording's emitters, from the tiles in which few of them shine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ds3d_tf.calibration.noise.emitter_free import emitter_free
from ds3d_tf.calibration.noise.emitter_search import SMALLEST_CONTRAST, EmitterSearch, FoundEmitters
from ds3d_tf.calibration.noise.noise_estimate import NoiseEstimate
from ds3d_tf.calibration.noise.signal_fit import SignalLaw, fit_signal

FEWEST_EMITTERS = 12
ENOUGH_EMITTERS = 150
FEWEST_TILES = 12
MOST_TILES = 60
# In denser tiles, emitters hide one another: the faint are missed and neighbours count as one.
SPARSE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class SignalEstimate:
    """What bright emitters that stand alone say.

    Attributes:
        law: of their photons.
        photons: float64 ``[K]``, counts.
        faintest: counts above which emitters are found.
        searched: indices of the tiles that were searched.
        found: the emitters of each of these tiles.
        explained: share of the energy (squared counts) of these emitters' light that the setup's images explain.
        dense: whether no tile was sparse, so that ``law`` may be too bright.
    """

    law: SignalLaw
    photons: np.ndarray
    faintest: float
    searched: list[int]
    found: list[FoundEmitters]
    explained: float
    dense: bool


def sparse_tiles(tiles: Sequence[np.ndarray]) -> tuple[list[int], np.ndarray]:
    """Return the tiles with emitters, sparsest first, and the share of free pixels of every tile.

    Args:
        tiles: each float ``[H, W]``, counts.

    Returns:
        indices, and float64 ``[T]``, no unit.
    """
    shares = np.array([emitter_free(tile).mean() for tile in tiles])
    return [int(index) for index in np.argsort(-shares, kind="stable") if shares[index] < 1], shares


def estimate_signal(
    tiles: Sequence[np.ndarray],
    search: EmitterSearch,
    noise: NoiseEstimate,
    on_tile: Callable[[int], None] = lambda done: None,
) -> SignalEstimate | None:
    """Return the law of the photons of emitters that stand alone in the sparsest tiles.

    Args:
        tiles: each float ``[H, W]``, counts.
        search: for tiles of this size.
        noise: background of the tiles.
        on_tile: called with the number of tiles searched, of at most 60.

    Returns None if fewer than 12 emitters stand alone.
    """
    order, shares = sparse_tiles(tiles)
    faintest = SMALLEST_CONTRAST * noise.sigma / search.faintest_norm
    searched: list[int] = []
    found: list[FoundEmitters] = []
    photons: list[float] = []
    misfits: list[float] = []
    for index in order[:MOST_TILES]:
        sparse = shares[index] > SPARSE_SHARE
        if len(searched) >= FEWEST_TILES and len(photons) >= (ENOUGH_EMITTERS if sparse else FEWEST_EMITTERS):
            break
        emitters = search.find(tiles[index], noise.sigma)
        bright = emitters.alone & (emitters.photons > faintest) & inside(emitters, search)
        photons += emitters.photons[bright].tolist()
        misfits += emitters.misfit[bright].tolist()
        searched.append(index)
        found.append(emitters)
        on_tile(len(searched))
    if len(photons) < FEWEST_EMITTERS:
        return None
    return SignalEstimate(
        fit_signal(np.array(photons), faintest),
        np.array(photons),
        faintest,
        searched,
        found,
        1 - float(np.average(misfits, weights=np.array(photons) ** 2)),
        bool(shares[searched[-1]] <= SPARSE_SHARE),
    )


def inside(emitters: FoundEmitters, search: EmitterSearch) -> np.ndarray:
    """Return bool ``[K]``, no unit: emitters whose images lie in the tile for the better part."""
    edge = search.half_size_px // 2
    rows, columns = emitters.places.T
    height, width = search.frame_shape
    return (rows >= edge) & (rows < height - edge) & (columns >= edge) & (columns < width - edge)
