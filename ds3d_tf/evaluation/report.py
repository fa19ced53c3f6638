"""The figures of an evaluation as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ds3d_tf.common.files import whole_file


def write_metrics(path: str | Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, undefined ones as null; raises InputError if the file cannot be written."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(dict(figures), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def summary(figures: Mapping[str, Any]) -> str:
    """Return the main figures as a few lines of text."""
    jaccard = f"Jaccard {_say(figures['jaccard'], '.3f')}"
    each = _say(figures["jaccard_frame_mean"], ".3f")
    lateral, axial = _say(figures["rmse_lateral_nm"], ".1f"), _say(figures["rmse_axial_nm"], ".1f")
    return "\n".join(
        [
            f"{figures['matched']} of {figures['emitters']} emitters found, {figures['localizations']} localizations, "
            f"{figures['frames']} frames",
            f"{jaccard} (mean of the frames {each})"
            f"  precision {_say(figures['precision'], '.3f')}  recall {_say(figures['recall'], '.3f')}",
            f"RMSE lateral {lateral} nm, axial {axial} nm"
            f"  bias {', '.join(_say(figures[f'bias_{axis}_nm'], '+.1f') for axis in 'xyz')} nm",
        ]
    )


def _say(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
