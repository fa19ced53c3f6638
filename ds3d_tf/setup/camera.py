"""The camera: photons to photoelectrons to counts and back, and the variance of a pixel. Numbers or maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup.camera_section import MAP_FIELDS, CameraSection

# A pixel stands out if it lies this many robust standard deviations above the rest …
_HOT_DEVIATIONS = 15.0
# … which are taken to be at least this share of the median, so that an even map has no outliers.
_LEAST_SPREAD = 0.2
# A pixel that answers to light with less than this share of the median gain is dead.
_DEAD_GAIN = 0.1
_MOST_DEAD = 0.1
EM_EXCESS = 2.0
"""Variance over mean of photoelectrons behind an EM register: excess noise factor √2, squared."""


@dataclass(frozen=True, eq=False)
class Camera:
    """How photons become counts. Each of the first three is a number or a map of all pixels.

    Attributes:
        offset_counts: number or float64 ``[H, W]``, counts of a dark pixel.
        counts_per_electron: number or float64 ``[H, W]``, counts of one electron after any EM gain.
        read_noise_electrons: number or float64 ``[H, W]``, standard deviation, electrons after any EM gain.
        quantum_efficiency: photoelectrons of a photon, above 0, at most 1.
        em_gain: electrons that the EM register makes of one, no unit; 1: no such register.
        spurious_electrons: electrons a pixel and frame without light, before the EM gain.
        bad: bool ``[H, W]``, True for pixels to leave out, no unit; None: none.
        roi_origin_px: (row, column) of the maps at which the frames begin, pixels; None: maps of the frames' size.
    """

    offset_counts: float | np.ndarray = 0.0
    counts_per_electron: float | np.ndarray = 1.0
    read_noise_electrons: float | np.ndarray = 0.0
    quantum_efficiency: float = 1.0
    em_gain: float = 1.0
    spurious_electrons: float = 0.0
    bad: np.ndarray | None = None
    roi_origin_px: tuple[int, int] | None = None

    @classmethod
    def from_section(cls, section: CameraSection, maps: Mapping[str, np.ndarray] | None = None) -> Camera:
        """Return the checked camera of a setup's section.

        Args:
            section: the section.
            maps: float ``[H, W]`` of each field that is a file, in the field's unit; ``bad_pixels``: not 0 = bad.

        Without ``bad_pixels``, hot pixels (read noise or offset far above the rest) and dead ones (gain near 0) are
        found from the maps. Raises InputError for maps of different shapes, NaN, a gain of 0 or less, or a negative
        read noise in pixels that are not bad.
        """
        maps = {name: _plane(name, array) for name, array in (maps or {}).items()}
        shapes = {name: array.shape for name, array in maps.items()}
        if len(set(shapes.values())) > 1:
            listed = ", ".join(f"{name} {_size(shape)}" for name, shape in shapes.items())
            raise InputError(f"camera: maps of different sizes: {listed}")
        named = maps.pop("bad_pixels", None)
        bad = None if named is None else np.isnan(named) | (named != 0)
        for name, array in maps.items():
            _check_map(name, array, bad)
        if bad is None and maps:
            bad = outlying_pixels(maps)
        if bad is not None and bad.all():
            raise InputError("camera.bad_pixels: every pixel is bad; 0 marks the good ones")
        for array in maps.values():
            array[~np.isfinite(array)] = np.median(array[np.isfinite(array)])
        values = {name: maps.get(name, getattr(section, name)) for name in MAP_FIELDS}
        return cls(
            **values,
            quantum_efficiency=section.quantum_efficiency,
            em_gain=section.em_gain,
            spurious_electrons=section.spurious_electrons,
            bad=bad if bad is not None and bad.any() else None,
            roi_origin_px=section.roi_origin_px,
        )

    @property
    def excess(self) -> float:
        """Variance over mean of the photoelectrons as counted: 1, or 2 behind an EM register; no unit."""
        return EM_EXCESS if self.em_gain > 1 else 1.0

    @property
    def counts_per_photoelectron(self) -> float | np.ndarray:
        """Gain with EM gain: number or float64 ``[H, W]`` (row, column), counts a photoelectron."""
        return self.em_gain * self.counts_per_electron

    @property
    def read_noise_photoelectrons(self) -> float | np.ndarray:
        """σ of the read noise before any EM gain: number or float64 ``[H, W]`` (row, column), photons detected."""
        return self.read_noise_electrons / self.em_gain

    @property
    def efficiency(self) -> float:
        """Share of the photons' information that survives detection and EM gain, no unit: QE over the excess."""
        return self.quantum_efficiency / self.excess

    @property
    def read_noise_photons(self) -> float | np.ndarray:
        """Read noise as photons: number or float64 ``[H, W]``; infinite in bad pixels.

        A frame's Fisher information is ``efficiency · Σ (∂µ)² / (µ + read_noise_photons²)``, with µ in photons.
        """
        sigma = self.read_noise_photoelectrons / np.sqrt(self.excess * self.quantum_efficiency)
        return sigma if self.bad is None else np.where(self.bad, np.inf, sigma)

    @property
    def maps_shape(self) -> tuple[int, int] | None:
        """(H, W) of the maps, pixels; None: numbers only."""
        arrays = [value for value in self._planes().values() if isinstance(value, np.ndarray)]
        return (arrays[0].shape[0], arrays[0].shape[1]) if arrays else None

    def _planes(self) -> dict[str, float | np.ndarray]:
        planes = {name: getattr(self, name) for name in MAP_FIELDS}
        return planes if self.bad is None else {**planes, "bad": self.bad}

    def for_frames(self, shape: tuple[int, int]) -> Camera:
        """Return the camera of a recording's frames: maps cut to ``shape`` (H, W), pixels, at the origin.

        Raises InputError if the maps do not fit such frames.
        """
        whole = self.maps_shape
        if whole is None:
            return self
        if self.roi_origin_px is None:
            if whole != tuple(shape):
                raise InputError(
                    f"camera: maps of {_size(whole)} pixels do not fit frames of {_size(shape)}; crop them, or say "
                    "where the frames begin with camera.roi_origin_px"
                )
            return self
        row, column = self.roi_origin_px
        if row + shape[0] > whole[0] or column + shape[1] > whole[1]:
            raise InputError(
                f"camera.roi_origin_px: frames of {_size(shape)} pixels from row {row}, column {column} on reach "
                f"beyond maps of {_size(whole)}"
            )
        return self.cropped(row, column, shape)

    def cropped(self, row: int, column: int, shape: tuple[int, int]) -> Camera:
        """Return the camera with its maps cut to ``shape`` (H, W) from (row, column) on, pixels."""
        window = (slice(row, row + shape[0]), slice(column, column + shape[1]))
        cut = {name: value[window] for name, value in self._planes().items() if isinstance(value, np.ndarray)}
        return replace(self, **cut, roi_origin_px=None)  # type: ignore[arg-type]

    def typical(self) -> Camera:
        """Return a camera without maps, whose numbers are the medians over its good pixels."""
        good = ... if self.bad is None else ~self.bad
        numbers = {
            name: float(np.median(value[good])) if isinstance(value, np.ndarray) else value
            for name, value in ((name, getattr(self, name)) for name in MAP_FIELDS)
        }
        return replace(self, **numbers, bad=None, roi_origin_px=None)

    def photoelectrons(self, counts: ArrayLike) -> np.ndarray:
        """Return counts as photoelectrons: float64, of the shape of ``counts``.

        Args:
            counts: float ``[..., H, W]``, counts.

        Returns:
            float64 ``[..., H, W]``, photoelectrons; NaN in bad pixels.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            electrons: np.ndarray = (
                np.asarray(counts, np.float64) - self.offset_counts
            ) / self.counts_per_photoelectron
        return electrons if self.bad is None else np.where(self.bad, np.nan, electrons)

    def photons(self, counts: ArrayLike) -> np.ndarray:
        """Return counts as photons that reached the chip.

        Args:
            counts: float ``[..., H, W]``, counts.

        Returns:
            float64 ``[..., H, W]``, photons; NaN in bad pixels.
        """
        return (self.photoelectrons(counts) - self.spurious_electrons) / self.quantum_efficiency

    def expected_counts(self, photons: ArrayLike) -> np.ndarray:
        """Return the mean counts of expected photons, the inverse of :meth:`photons` in good pixels.

        Args:
            photons: float ``[..., H, W]``, expected photons a pixel.

        Returns:
            float64 ``[..., H, W]``, counts.
        """
        electrons = self.quantum_efficiency * np.asarray(photons, np.float64) + self.spurious_electrons
        return self.offset_counts + self.counts_per_photoelectron * electrons

    def variance_counts2(self, photons: ArrayLike) -> np.ndarray:
        """Return the variance of a pixel's counts: shot noise with its excess, and read noise.

        Args:
            photons: float ``[..., H, W]``, expected photons a pixel.

        Returns:
            float64 ``[..., H, W]``, counts squared.
        """
        electrons = self.quantum_efficiency * np.asarray(photons, np.float64) + self.spurious_electrons
        variance = self.excess * electrons + np.square(self.read_noise_photoelectrons)
        return np.square(self.counts_per_photoelectron) * variance


def outlying_pixels(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the pixels that stand out: hot ones (read noise, offset) and dead ones (gain near 0).

    A pixel is hot where its value lies 15 robust standard deviations above the median; these are 1.4826 times the
    median absolute deviation, or for read noise a fifth of the median if that is larger. It is dead below a tenth of
    the median gain.

    Args:
        maps: float ``[H, W]`` by field name (counts, counts per electron, electrons).

    Returns:
        bool ``[H, W]``, no unit.
    """
    bad = np.zeros(next(iter(maps.values())).shape, bool)
    for name, array in maps.items():
        middle = np.median(array)
        if name == "counts_per_electron":
            bad |= array < _DEAD_GAIN * middle
            continue
        spread = 1.4826 * np.median(np.abs(array - middle))
        least = _LEAST_SPREAD * middle if name == "read_noise_electrons" else 1.0
        bad |= array > middle + _HOT_DEVIATIONS * max(spread, least)
    return bad


def _plane(name: str, array: ArrayLike) -> np.ndarray:
    plane = np.asarray(array)
    if plane.dtype.kind not in "fiub" or plane.ndim != 2:
        kind = f"shape {plane.shape}" if plane.dtype.kind in "fiub" else f"dtype {plane.dtype}"
        raise InputError(f"camera.{name}: expected a map of real numbers, [row, column], got {kind}")
    return plane.astype(np.float64)


def _check_map(name: str, array: np.ndarray, bad: np.ndarray | None) -> None:
    used = array if bad is None else array[~bad]
    wrong = int(np.count_nonzero(~np.isfinite(used)))
    if wrong:
        raise InputError(
            f"camera.{name}: {wrong} of {array.size} pixels are NaN or infinite; name them in camera.bad_pixels"
        )
    lowest = used.min(initial=np.inf)
    if name == "read_noise_electrons" and lowest < 0:
        raise InputError(
            f"camera.{name}: expected 0 or more electrons in every pixel, got {lowest:g}; "
            "of a map of variances give the square root"
        )
    if name == "counts_per_electron":
        dead = int(np.count_nonzero(used <= 0))
        if lowest < 0 or dead > _MOST_DEAD * used.size:
            raise InputError(
                f"camera.{name}: expected a gain above 0, got {lowest:g} as the smallest and 0 or less in {dead} of "
                f"{used.size} pixels"
            )


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
