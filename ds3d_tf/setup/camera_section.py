"""The camera's section of a Setup, under our names or those of other programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ds3d_tf.setup.section import FiniteFloat, NonNegativeFloat, NonNegativeInt, Section

MAP_SUFFIXES = (".tif", ".tiff", ".npy")
MAP_FIELDS = ("offset_counts", "counts_per_electron", "read_noise_electrons")
"""Fields that are a number or the file of a map."""

OTHER_NAMES = {
    "Baseline": "offset_counts",
    "Sensitivity": "counts_per_electron",
    "Gain": "em_gain",
    "Qe": "quantum_efficiency",
    "Quantum Efficiency": "quantum_efficiency",
    "baseline": "offset_counts",
    "e_per_adu": "counts_per_electron",
    "qe": "quantum_efficiency",
    "read_sigma": "read_noise_electrons",
    "spur_noise": "spurious_electrons",
    "offset": "offset_counts",
    "conversion": "counts_per_electron",
    "emgain": "em_gain",
}
"""Names of Picasso (capital letters), DECODE and SMAP → ours."""

_ELECTRONS_PER_COUNT = ("Sensitivity", "e_per_adu", "conversion")
_NOT_OURS = ("Pixelsize", "px_size", "photon_units", "convert2photons")


class CameraSection(Section):
    """13. From photons to counts. Without it, counts are photons and their noise is that of `read_noise`."""

    offset_counts: FiniteFloat | str = Field(0.0, description="counts of a dark pixel; a number, or a .tif / .npy map")
    counts_per_electron: FiniteFloat | str = Field(
        1.0, description="gain: counts of one electron after any EM gain; a number above 0, or a map"
    )
    read_noise_electrons: FiniteFloat | str = Field(
        0.0, description="standard deviation, electrons after any EM gain; a number from 0 on, or a map"
    )
    quantum_efficiency: float = Field(1.0, gt=0, le=1, description="photoelectrons of one photon")
    em_gain: float = Field(
        1.0,
        ge=1,
        allow_inf_nan=False,
        description="electrons that an EMCCD makes of one; above 1 it doubles the variance",
    )
    spurious_electrons: NonNegativeFloat = Field(
        0.0, description="electrons a pixel and frame without light, before the EM gain"
    )
    bad_pixels: str | None = Field(
        None, description="map of pixels to leave out (not 0 = bad); null: those that stand out in the other maps"
    )
    roi_origin_px: tuple[NonNegativeInt, NonNegativeInt] | None = Field(
        None, description="row and column of the maps at which the frames begin; null: maps of the frames' size"
    )

    @model_validator(mode="before")
    @classmethod
    def _names_of_other_programs(cls, values: Any) -> Any:
        return ours(values) if isinstance(values, Mapping) else values

    @field_validator(*MAP_FIELDS, "bad_pixels", mode="before")
    @classmethod
    def _number_or_file(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool):
            raise ValueError("expected a number or a file, not yes or no")
        if value is not None and not isinstance(value, (int, float, str)):
            raise ValueError("expected a number or the name of a file")
        if isinstance(value, str):
            number = _number(value) if info.field_name != "bad_pixels" else None
            if number is None and not value.lower().endswith(MAP_SUFFIXES):
                raise ValueError("expected a number or a file that ends in .tif or .npy")
            value = value if number is None else number
        if isinstance(value, (int, float)):
            if not math.isfinite(value):
                raise ValueError("expected a finite number")
            if info.field_name == "counts_per_electron" and value <= 0:
                raise ValueError("must be above 0")
            if info.field_name == "read_noise_electrons" and value < 0:
                raise ValueError("must be 0 or more")
        return value

    @property
    def map_files(self) -> dict[str, str]:
        """Field → file of each map."""
        named = {name: getattr(self, name) for name in (*MAP_FIELDS, "bad_pixels")}
        return {name: value for name, value in named.items() if isinstance(value, str)}


def ours(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a camera that may have the names of Picasso, DECODE or SMAP (table: docs/camera.md).

    Their electrons per count become counts per electron. Raises ValueError if one field is named twice or one of
    these is not above 0.
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        if name in _NOT_OURS:
            continue
        field = OTHER_NAMES.get(str(name), str(name))
        if field in result:
            raise ValueError(f"`{name}` says {field} a second time; keep one of them")
        if name in _ELECTRONS_PER_COUNT:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"`{name}`: expected a number of electrons per count above 0, got {value!r}")
            value = 1.0 / value
        if name in ("em_gain", "Gain", "emgain") and value is None:
            value = 1.0
        result[field] = value
    return result


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
