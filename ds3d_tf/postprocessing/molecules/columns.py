"""Names and units of the columns of molecules, whatever program wrote them.

Our names are ThunderSTORM's. Lengths are in nm; others' names and units are translated when a table is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ds3d_tf.localization.tables.tables import COLUMNS, REFINED_COLUMNS

FRAME, X, Y, Z, CONFIDENCE = COLUMNS
PHOTONS, BACKGROUND, SIGMA, UNCERTAINTY, UNCERTAINTY_X, UNCERTAINTY_Y, UNCERTAINTY_Z = REFINED_COLUMNS[:7]
POSITION = (X, Y, Z)
POSITION_UNCERTAINTY = (UNCERTAINTY_X, UNCERTAINTY_Y, UNCERTAINTY_Z)
# What grouping adds.
LAST_FRAME, DETECTIONS, FRAMES_ON = "last_frame", "detections", "frames_on"

# Which command gives a column, for messages.
_GIVEN_BY = {
    PHOTONS: "'ds3d localize --refine' gives it",
    BACKGROUND: "'ds3d localize --refine' gives it",
    UNCERTAINTY: "'ds3d localize --refine' gives it",
    UNCERTAINTY_X: "'ds3d localize --refine' gives it",
    UNCERTAINTY_Y: "'ds3d localize --refine' gives it",
    UNCERTAINTY_Z: "'ds3d localize --refine' gives it",
    "chi2": "'ds3d localize --refine' gives it",
    "log_likelihood_gain": "'ds3d localize --refine' gives it",
    LAST_FRAME: "'ds3d group' gives it",
    DETECTIONS: "'ds3d group' gives it",
    FRAMES_ON: "'ds3d group' gives it",
    Z: "the table is two-dimensional",
}

# Names without their unit, in lower case with _ for spaces → our column.
_ALIASES = {
    # plain, and ThunderSTORM
    "frame": FRAME,
    "x": X,
    "y": Y,
    "z": Z,
    "sigma": SIGMA,
    "sigma_xy": SIGMA,
    "uncertainty": UNCERTAINTY,
    "uncertainty_xy": UNCERTAINTY,
    "uncertainty_x": UNCERTAINTY_X,
    "uncertainty_y": UNCERTAINTY_Y,
    "uncertainty_z": UNCERTAINTY_Z,
    "photons": PHOTONS,
    "background": BACKGROUND,
    "offset": BACKGROUND,
    "detections": DETECTIONS,
    # ZOLA-3D
    "crlbx": UNCERTAINTY_X,
    "crlby": UNCERTAINTY_Y,
    "crlbz": UNCERTAINTY_Z,
    # SMAP
    "xnm": X,
    "ynm": Y,
    "znm": Z,
    "xnmerr": UNCERTAINTY_X,
    "ynmerr": UNCERTAINTY_Y,
    "locprecnm": UNCERTAINTY,
    "locprecznm": UNCERTAINTY_Z,
    "phot": PHOTONS,
    "photerr": "uncertainty_intensity [photon]",
    "bg": BACKGROUND,
    "psfxnm": SIGMA,
    # DECODE
    "frame_ix": FRAME,
    "x_sig": UNCERTAINTY_X,
    "y_sig": UNCERTAINTY_Y,
    "z_sig": UNCERTAINTY_Z,
    "phot_sig": "uncertainty_intensity [photon]",
    "prob": CONFIDENCE,
    # the localization challenge, and DeepSTORM3D
    "xnano": X,
    "ynano": Y,
    "znano": Z,
    # SMLM files
    "x_precision": UNCERTAINTY_X,
    "y_precision": UNCERTAINTY_Y,
    "z_precision": UNCERTAINTY_Z,
}
_NM_PER_UNIT = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "mm": 1e6, "m": 1e9, "angstrom": 0.1, "å": 0.1}
_PIXEL_UNITS = ("px", "pixel", "pixels", "pix")
_LENGTHS = (*POSITION, SIGMA, UNCERTAINTY, *POSITION_UNCERTAINTY)
_WITH_UNIT = re.compile(r"^(.*?)\s*[\[(]([^\])]*)[\])]$")


@dataclass(frozen=True)
class Column:
    """A column of a file: our name, and the unit of its numbers ("nm", "pixel", …, or "" if it is not said)."""

    name: str
    unit: str

    @property
    def is_length(self) -> bool:
        """Whether its numbers are lengths, for which we use nm."""
        return self.name in _LENGTHS

    @property
    def nm_per_unit(self) -> float | None:
        """How many nm one unit of a length is; None for pixels and unknown units."""
        return _NM_PER_UNIT.get(self.unit)

    @property
    def in_pixels(self) -> bool:
        """Whether its numbers are camera pixels."""
        return self.unit in _PIXEL_UNITS


def recognize(header: str) -> Column:
    """Return the column that a name in a file's header stands for; an unknown one keeps its name."""
    text = header.strip().strip('"').strip()
    match = _WITH_UNIT.match(text)
    bare, unit = (match[1], match[2].strip().lower()) if match else (text, "")
    key = bare.strip().lower().replace(" ", "_")
    if not unit and key not in _ALIASES:
        stem, _, last = key.rpartition("_")
        if last in _NM_PER_UNIT and stem in _ALIASES:
            key, unit = stem, last
    if key in ("xnm", "ynm", "znm", "xnmerr", "ynmerr", "locprecnm", "locprecznm", "psfxnm", "xnano", "ynano", "znano"):
        unit = "nm"
    if key == "intensity":
        return Column(CONFIDENCE if unit == "au" else PHOTONS, unit)
    if key not in _ALIASES:
        return Column(text, unit)
    return Column(_ALIASES[key], unit)


def short_names(columns: list[str]) -> dict[str, str]:
    """Return short name → column for those of a table, as rules may call them (``photons``, ``uncertainty_z``)."""
    found: dict[str, str] = {}
    for alias in (*_ALIASES, "confidence"):
        column = CONFIDENCE if alias == "confidence" else _ALIASES[alias]
        if column in columns:
            found[alias] = column
    for column in columns:
        match = _WITH_UNIT.match(column)
        found.setdefault((match[1] if match else column).strip().lower().replace(" ", "_"), column)
        found[column] = column
    if PHOTONS in columns:
        found["intensity"] = PHOTONS
    return found


def who_gives(column: str) -> str:
    """Return how a missing column can be had, for a message; empty if we do not know."""
    return _GIVEN_BY.get(column, "")
