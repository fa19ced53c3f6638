"""The metrics of an evaluation as a file and as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ds3d_tf.common.files import whole_file


def write_metrics(path: str | Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics as JSON, undefined ones as null; raises InputError if the file cannot be written."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(dict(metrics), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def summary(metrics: Mapping[str, Any]) -> str:
    """Return the main metrics as a few lines of text."""
    jaccard = f"Jaccard {_say(metrics['jaccard'], '.3f')}"
    each = _say(metrics["jaccard_frame_mean"], ".3f")
    lateral, axial = _say(metrics["rmse_lateral_nm"], ".1f"), _say(metrics["rmse_axial_nm"], ".1f")
    lines = [] if metrics.get("rmse_over_bound_lateral") is None else [_beside_the_bound(metrics)]
    if metrics.get("efficiency_3d") is not None:
        lines.insert(0, _challenge(metrics))
    return "\n".join(
        [
            f"{metrics['matched']} of {metrics['emitters']} emitters found, {metrics['localizations']} localizations, "
            f"{metrics['frames']} frames",
            f"{jaccard} (mean of the frames {each})"
            f"  precision {_say(metrics['precision'], '.3f')}  recall {_say(metrics['recall'], '.3f')}",
            f"RMSE lateral {lateral} nm, axial {axial} nm"
            f"  bias {', '.join(_say(metrics[f'bias_{axis}_nm'], '+.1f') for axis in 'xyz')} nm",
            *lines,
        ]
    )


def _challenge(metrics: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {metrics[f'efficiency_{name}']:.1f}" for name in ("lateral", "axial"))
    return (
        f"SMLM challenge: efficiency {metrics['efficiency_3d']:.1f} ({parts}), Jaccard "
        f"{metrics['challenge_jaccard']:.3f}; grid index {_say(metrics['grid_index'], '.3f')}"
    )


def _beside_the_bound(metrics: Mapping[str, Any]) -> str:
    sigmas = ", ".join(_say(metrics[f"pull_sigma_{axis}"], ".2f") for axis in "xyz")
    return (
        f"joint bound lateral {metrics['bound_lateral_nm']:.1f} nm, axial {metrics['bound_axial_nm']:.1f} nm  "
        f"RMSE ÷ bound {metrics['rmse_over_bound_lateral']:.2f}, {metrics['rmse_over_bound_axial']:.2f}  pulls {sigmas}"
    )


def _say(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
