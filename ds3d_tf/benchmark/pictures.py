"""How long a super-resolved picture takes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from ds3d_tf.benchmark.timing import Timing
from ds3d_tf.options import Sizes
from ds3d_tf.postprocessing.molecules.molecules import Molecules
from ds3d_tf.postprocessing.molecules.reading import read_molecules
from ds3d_tf.postprocessing.pictures.picture import depth_limits, picture_window, render_picture
from ds3d_tf.postprocessing.pictures.png import annotated, write_png

SEED = 0
FIELD_NM = 30_000.0
PIXEL_NM = 10.0
_FILAMENTS = 3000


def time_rendering(sizes: Sizes) -> list[Timing]:
    """Time a coloured picture of Gaussians, from a Parquet table to the PNG; once, for it takes long."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "molecules.parquet"
        _filaments(sizes.molecules).save(table)
        begin = time.perf_counter()
        molecules = read_molecules(table)
        sigma_nm, limits = molecules.sigma_nm("benchmark"), depth_limits(molecules, None)
        picture = render_picture(molecules, picture_window(molecules, "xy", PIXEL_NM, sigma_nm), sigma_nm, limits)
        write_png(Path(folder) / "picture.png", annotated(picture.colours(), PIXEL_NM, limits), PIXEL_NM)
        seconds = time.perf_counter() - begin
    rows, columns = picture.window.shape
    name = f"picture of {sizes.molecules} molecules, {columns}×{rows} pixels"
    return [Timing("render", name, seconds, 1)]


def _filaments(count: int) -> Molecules:
    import pandas as pd

    rng = np.random.default_rng(SEED)
    start, angle = rng.uniform(0, FIELD_NM, (_FILAMENTS, 2)), rng.uniform(0, np.pi, _FILAMENTS)
    which, along_nm = rng.integers(0, _FILAMENTS, count), rng.uniform(-5000, 5000, count)
    sigma_nm = 2 + rng.gamma(6, 2, count)
    columns = {
        "frame": np.sort(rng.integers(1, 100_001, count)),
        "x [nm]": (start[which, 0] + along_nm * np.cos(angle[which])).clip(0, FIELD_NM),
        "y [nm]": (start[which, 1] + along_nm * np.sin(angle[which])).clip(0, FIELD_NM),
        "z [nm]": 2000 + 1500 * np.sin(along_nm / 2000 + which),
        "uncertainty_x [nm]": sigma_nm,
        "uncertainty_y [nm]": 1.1 * sigma_nm,
        "uncertainty_z [nm]": 1.7 * sigma_nm,
    }
    return Molecules(pd.DataFrame(columns))
