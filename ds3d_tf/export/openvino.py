"""A network as OpenVINO's intermediate representation, by Keras' own export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import argument
from ds3d_tf.common.optional import require
from ds3d_tf.common.quiet import silent_unless_it_fails
from ds3d_tf.export.portable import portable_network
from ds3d_tf.localization.engines.network_file import NetworkFile
from ds3d_tf.setup import Setup


def export_openvino(model: Any, setup: Setup, mask_rad: np.ndarray, file: str | Path) -> NetworkFile:
    """Write a network for frames of any size as ``.xml`` and ``.bin``, with its description beside them.

    Args:
        model: a ``LocalizationNet``.
        setup: its ``Setup``.
        mask_rad: float64 ``[N, N]`` (row, column), phase mask, rad.
        file: the ``.xml`` to write; the weights go into the ``.bin`` of the same name.

    Raises InputError for another model, or if the extra is not installed.
    """
    require(f"{argument('to')} openvino", "openvino", "openvino")
    network = portable_network(model, setup)
    with silent_unless_it_fails():
        network.export(str(file), format="openvino", verbose=False)
    written = NetworkFile(Path(file), setup, np.asarray(mask_rad), int(model.receptive_radius_px))
    written.write()
    return written
