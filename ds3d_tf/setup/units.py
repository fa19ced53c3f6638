"""Lengths that cannot be meant: a value in another unit than its field's, with the value that is likely meant."""

from __future__ import annotations

from typing import NamedTuple

from ds3d_tf.setup.sections import Sections


class _Plausible(NamedTuple):
    """Limits of a field in µm, and what a value beyond them was likely given in: (unit, factor to µm)."""

    least: float
    most: float
    above: tuple[str, float]
    below: tuple[str, float]


_NM, _MM, _M = ("nm", 1e-3), ("mm", 1e3), ("m", 1e6)
_OPTICS = {
    "wavelength_um": _Plausible(0.1, 10.0, _NM, _MM),
    "camera_pixel_um": _Plausible(0.5, 300.0, _NM, _MM),
    "slm_pixel_um": _Plausible(0.5, 1000.0, _NM, _MM),
    "focal_length_um": _Plausible(1e3, 1e7, _NM, _MM),
}
_MAX_Z_UM = 300.0


def unlikely_units(setup: Sections) -> list[str]:
    """Return one sentence for each length that is given in another unit; an empty list if all can be meant."""
    problems = []
    for field, plausible in _OPTICS.items():
        value = getattr(setup.optics, field)
        if not plausible.least <= value <= plausible.most:
            candidates = (plausible.above,) if value > plausible.most else (plausible.below, _M)
            problems.append(_sentence(f"optics.{field}", value, plausible.least, plausible.most, candidates))
    for field in ("z_min_um", "z_max_um", "focus_um"):
        value = getattr(setup.volume, field)
        if abs(value) > _MAX_Z_UM:
            problems.append(_sentence(f"volume.{field}", value, -_MAX_Z_UM, _MAX_Z_UM, (_NM,)))
    return problems


def _sentence(name: str, value: float, least: float, most: float, units: tuple[tuple[str, float], ...]) -> str:
    for unit, factor in units:
        meant = value * factor
        if least <= meant <= most:
            return f"{name}: got {value:g} µm, which looks like {unit}; write {meant:g}"
    return f"{name}: got {value:g} µm, expected {least:g} to {most:g}"
