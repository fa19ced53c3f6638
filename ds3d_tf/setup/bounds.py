"""What every number of a Setup may be at most and at least: what microscopes have, and what memory and float32 hold.

The bounds are wide: they refuse what cannot be meant, such as nanometres where micrometres are expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.limits import (
    MAX_BATCH,
    MAX_BLUR_PX,
    MAX_COUNTS,
    MAX_DEPTH_VOXELS,
    MAX_EMITTERS,
    MAX_FFT_GRID_PX,
    MAX_FRAME_PX,
    MAX_NOLL_INDEX,
    MAX_PHOTONS,
    MAX_RADIUS_VOXELS,
    MAX_SEED,
    MAX_Z_UM,
    MIN_BLUR_PX,
)
from ds3d_tf.setup.sections import Sections

MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Bound:
    """Least and largest value of a field, why, and in which other units it may have been given.

    Attributes:
        low: least value allowed.
        high: largest value allowed.
        reason: half a sentence for the error.
        units: name of another unit → what a value in it is to be multiplied by.
    """

    low: float
    high: float
    reason: str
    units: tuple[tuple[str, float], ...] = ()

    def problem(self, field: str, value: Any) -> str | None:
        """Return what is wrong with a number (its unit is the field's), or None."""
        if self.low <= value <= self.high:
            return None
        meant = [(name, value * factor) for name, factor in self.units if self.low <= abs(value * factor) <= self.high]
        hint = f"; {value:g} {meant[0][0]} would be {meant[0][1]:g}" if len(meant) == 1 else ""
        return f"{field}: got {_number(value)}, expected {self.low:g} to {self.high:g} ({self.reason}){hint}"


_LENGTH = (("nm", 1e-3), ("m", 1e6))
_LONG_LENGTH = (("mm", 1e3), ("m", 1e6))
_ANGLE = (("degrees", math.pi / 180),)
_PHASE = "a phase far beyond what a mask can show"
_COUNTS = "more than any camera counts"
_SIZE = "larger than a camera's chip"
_MICROSCOPE_Z = "farther from the coverslip than an objective can focus; the unit is µm"
_INDEX = "the refractive index of a transparent medium"
_LEARNING = "no network learns with this"

BOUNDS: dict[str, Bound] = {
    "mask.size_px": Bound(3, MAX_FFT_GRID_PX - 1, "finer than a mask, and more than memory holds"),
    "mask.astigmatism_rad": Bound(-1000, 1000, _PHASE),
    "mask.highest_mode": Bound(
        4, MAX_NOLL_INDEX, "polynomials of higher order are not exact in double precision, and need much memory"
    ),
    "mask.learning_rate": Bound(1e-9, 100, _LEARNING),
    "optics.wavelength_um": Bound(0.1, 3, "light that microscopes see; the unit is µm", _LENGTH),
    "optics.numerical_aperture": Bound(0.01, 2, "the NA of an objective"),
    "optics.n_oil": Bound(1, 3, _INDEX),
    "optics.n_water": Bound(1, 3, _INDEX),
    "optics.camera_pixel_um": Bound(0.1, 1000, "a pixel on the camera's chip; the unit is µm", _LENGTH),
    "optics.slm_pixel_um": Bound(0.1, 10_000, "a pixel of the mask; the unit is µm", _LENGTH),
    "optics.magnification": Bound(0.1, 10_000, "from the sample to the camera"),
    "optics.focal_length_um": Bound(100, 1e8, "a lens of a microscope; the unit is µm", _LONG_LENGTH),
    "volume.height_px": Bound(1, MAX_FRAME_PX, _SIZE),
    "volume.width_px": Bound(1, MAX_FRAME_PX, _SIZE),
    "volume.margin_px": Bound(0, MAX_FRAME_PX, _SIZE),
    "volume.z_min_um": Bound(-MAX_Z_UM, MAX_Z_UM, _MICROSCOPE_Z, _LENGTH[:1]),
    "volume.z_max_um": Bound(-MAX_Z_UM, MAX_Z_UM, _MICROSCOPE_Z, _LENGTH[:1]),
    "volume.focus_um": Bound(-MAX_Z_UM, MAX_Z_UM, _MICROSCOPE_Z, _LENGTH[:1]),
    "volume.depth_voxels": Bound(1, MAX_DEPTH_VOXELS, "more than memory holds for a frame"),
    "emitters.count_range": Bound(0, MAX_EMITTERS, "more than memory holds for a frame"),
    "signal.uniform_range": Bound(1, MAX_PHOTONS, "fewer cannot be seen, and more no molecule emits"),
    "signal.gamma_shape": Bound(1e-3, 1e6, "photons of a molecule"),
    "signal.gamma_scale": Bound(1e-3, 1e9, "photons of a molecule"),
    "signal.label_threshold": Bound(0, 1e9, "more than a molecule emits"),
    "blur.sigma_range_px": Bound(MIN_BLUR_PX, MAX_BLUR_PX, "the blur is computed in a window of 9 pixels"),
    "background.level": Bound(0, MAX_COUNTS, _COUNTS),
    "background.max_offset_px": Bound(0, MAX_FRAME_PX, _SIZE),
    "background.valley_peak": Bound(0, MAX_COUNTS, _COUNTS),
    "background.angle_range_rad": Bound(-2 * math.pi, 2 * math.pi, "a full turn; the unit is radians", _ANGLE),
    "read_noise.baseline_range": Bound(-MAX_COUNTS, MAX_COUNTS, _COUNTS),
    "read_noise.sigma_range": Bound(0, MAX_COUNTS, _COUNTS),
    "normalization.subtract": Bound(-1e9, 1e9, "more than float32 tells apart"),
    "normalization.divide": Bound(1e-6, 1e9, "the network's input would be 0, or beyond float32"),
    "training_set.training_count": Bound(1, 10**9, "more frames than can be simulated"),
    "training_set.validation_count": Bound(1, 10**7, "more frames than can be simulated"),
    "training_set.seed": Bound(0, MAX_SEED, "a seed has 32 bits"),
    "emitters.on_time_frames": Bound(1e-3, 1e6, "more than any recording has"),
    "emitters.on_times": Bound(1, 8, "more than are simulated"),
    "emitters.off_time_frames": Bound(1e-3, 1e6, "more than any recording has"),
    "learning.crop_px": Bound(8, MAX_FRAME_PX, _SIZE),
    "learning.minutes": Bound(0.01, 10**6, "more than can be waited for"),
    "learning.warm_up": Bound(0, 1, "a share of the run"),
    "learning.weight_decay": Bound(0, 10, _LEARNING),
    "learning.clip_norm": Bound(1e-9, 1e12, _LEARNING),
    "learning.filters": Bound(1, 2048, "more than memory holds"),
    "learning.scaling_factor": Bound(1e-3, 1e6, "more than float32 tells apart"),
    "learning.batch_size": Bound(1, MAX_BATCH, "more than memory holds"),
    "learning.epochs": Bound(1, 10**6, "more than can be waited for"),
    "learning.learning_rate": Bound(1e-9, 1e6, _LEARNING),
    "learning.peak_threshold": Bound(0, 1e6, "more than float32 tells apart"),
    "learning.peak_radius_voxels": Bound(1, MAX_RADIUS_VOXELS, "a voxel is a quarter of a pixel"),
    "resuming.epochs": Bound(1, 10**6, "more than can be waited for"),
    "camera.offset_counts": Bound(-MAX_COUNTS, MAX_COUNTS, _COUNTS),
    "camera.counts_per_electron": Bound(1e-6, 1e6, "counts of one electron"),
    "camera.read_noise_electrons": Bound(0, 1e6, "more than any camera has"),
    "camera.quantum_efficiency": Bound(1e-3, 1, "photoelectrons of one photon", (("percent", 0.01),)),
    "camera.em_gain": Bound(1, 1e5, "more than any EM register gives"),
    "camera.spurious_electrons": Bound(0, 1e5, "more than any camera has"),
    "camera.roi_origin_px": Bound(0, 100_000, _SIZE),
}
"""``section.field`` → bound of its number, or of each of its numbers."""

_ZERNIKE = Bound(-1000, 1000, _PHASE)


def check_bounds(setup: Sections) -> list[str]:
    """Return one sentence for each number of a setup that is out of bounds; an empty list if all are within."""
    problems = [
        problem
        for field, value in numbers_of(setup)
        if field in BOUNDS and (problem := BOUNDS[field].problem(field, value))
    ]
    for index, value in setup.mask.zernike_rad.items():
        if index < 1:
            problems.append(f"mask.zernike_rad: got Noll index {_number(index)}, indices start at 1")
        elif index > MAX_NOLL_INDEX:
            problems.append(
                f"mask.zernike_rad: got Noll index {_number(index)}, expected {MAX_NOLL_INDEX} at most "
                f"({BOUNDS['mask.highest_mode'].reason})"
            )
        else:
            problem = _ZERNIKE.problem(f"mask.zernike_rad.{index}", value)
            problems += [problem] if problem else []
    if len(setup.name) > MAX_NAME_CHARACTERS:
        problems.append(f"name: got {len(setup.name)} characters, expected {MAX_NAME_CHARACTERS} at most")
    return problems or _together(setup)


def check_emitter_count(setup: Sections, count: int | None) -> None:
    """Raise InputError if ``count`` emitters are more than the pixels of a simulated frame; None is fine."""
    pixels = setup.volume.height_px * setup.volume.width_px
    if count is not None and count > pixels:
        raise InputError(
            f"{argument('emitter_count')} {count}: more than the {pixels} pixels of a frame; expected fewer"
        )


def numbers_of(setup: Sections) -> Iterator[tuple[str, float]]:
    """Yield (``section.field``, value in the field's unit) of all numbers of a setup but those of `zernike_rad`."""
    for section in type(setup).model_fields:
        part = getattr(setup, section)
        for field in getattr(type(part), "model_fields", ()):
            value = getattr(part, field)
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, (int, float)) and not isinstance(one, bool):
                    yield f"{section}.{field}", one


def _together(setup: Sections) -> list[str]:
    """Return the problems of numbers that are each in bounds."""
    problems = []
    optics, volume, signal, emitters = setup.optics, setup.volume, setup.signal, setup.emitters
    if optics.fft_size_px > MAX_FFT_GRID_PX:
        problems.append(
            f"optics: an FFT grid of {optics.fft_size_px:.6g} samples would make one sample one camera pixel "
            f"(λ f / (slm_pixel camera_pixel)), expected {MAX_FFT_GRID_PX} at most; check the units of "
            "optics.focal_length_um, optics.slm_pixel_um and optics.camera_pixel_um, all µm"
        )
    pixels = volume.height_px * volume.width_px
    if emitters.count_range[1] - 1 > pixels:
        problems.append(
            f"emitters.count_range: got up to {emitters.count_range[1] - 1} emitters in a frame of "
            f"{volume.height_px}×{volume.width_px} pixels, expected one a pixel ({pixels}) at most"
        )
    if signal.gamma_shape * signal.gamma_scale > BOUNDS["signal.uniform_range"].high:
        problems.append(
            f"signal.gamma_shape, signal.gamma_scale: got a mean of {signal.gamma_shape * signal.gamma_scale:g} "
            f"photons, expected {BOUNDS['signal.uniform_range'].high:g} at most; the scale is in photons"
        )
    depth_um = volume.z_max_um - volume.z_min_um
    if depth_um > 100:
        problems.append(
            f"volume.z_max_um: got {depth_um:g} µm above volume.z_min_um, expected 100 at most (no PSF tells depths "
            "over a larger range); the unit is µm"
        )
    return problems


def _number(value: float) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 30 else f"a number of {len(text)} digits"
