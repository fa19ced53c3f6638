"""Layers of points as tables of molecules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ds3d_tf.postprocessing import Molecules


def write_points(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a layer of points in nm, (z, y, x) or (y, x), as a table; returns its name.

    Features become columns; without a feature ``frame`` all are in frame 1. Raises InputError if it cannot be written.
    """
    points = np.asarray(data, np.float64) * np.asarray(attributes.get("scale", 1.0))
    points = points + np.asarray(attributes.get("translate", 0.0))
    features = pd.DataFrame(attributes.get("features", {})).reset_index(drop=True)
    table = pd.DataFrame({"frame": features.get("frame", pd.Series(np.ones(len(points), np.int64)))})
    names = ["z [nm]", "y [nm]", "x [nm]"][-points.shape[1] :]
    for name, column in sorted(zip(names, points.T, strict=True)):
        table[name] = column
    for name in features:
        if name not in table:
            table[name] = features[name].to_numpy()
    known = attributes.get("metadata", {}).get("ds3d", {})
    Molecules(table, path, known.get("pixel_nm"), known.get("frame_shape")).save(path)
    return [path]
