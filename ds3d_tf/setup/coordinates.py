"""The two coordinate systems: the package's own, and that of every table, truth and picture a user sees.

The package counts in µm from the centre of pixel (H // 2, W // 2) and from the coverslip; tables in nm from the frame's
upper left corner and from the lowest depth, as ThunderSTORM and DeepSTORM3D do.
"""

from __future__ import annotations

import numpy as np

from ds3d_tf.setup.sections import Sections


def table_origin_um(frame_shape: tuple[int, ...], setup: Sections) -> np.ndarray:
    """Return what to add to the package's positions to get those of a table.

    Args:
        frame_shape: ``(H, W)``, pixels.
        setup: the ``Setup`` of pixel size and depth range.

    Returns:
        float64 ``[3]`` (x, y, z), µm.
    """
    height, width = frame_shape[0], frame_shape[1]
    pixel = setup.optics.pixel_um
    return np.array([(width // 2 + 0.5) * pixel, (height // 2 + 0.5) * pixel, -setup.volume.z_min_um])
