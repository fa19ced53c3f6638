"""A network as TFLite, for ai-edge-litert: one tile of fixed size, weights in three precisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.quiet import silent_unless_it_fails
from ds3d_tf.export.portable import portable_network
from ds3d_tf.localization.engines.network_file import NetworkFile
from ds3d_tf.localization.peaks.pixel_peaks import overlap_of_maps_px
from ds3d_tf.localization.peaks.tiles import tile_overlap_px
from ds3d_tf.model.pixel_net import STRIDE
from ds3d_tf.setup import Setup

WEIGHTS = ("float32", "float16", "int8")


def export_tflite(
    model: Any,
    setup: Setup,
    mask_rad: np.ndarray,
    file: str | Path,
    *,
    tile_px: tuple[int, int] | None = None,
    weights: str = "float32",
) -> NetworkFile:
    """Write a network as TFLite, with its description beside it.

    Args:
        model: a ``LocalizationNet``.
        setup: its ``Setup``.
        mask_rad: float64 ``[N, N]`` (row, column), phase mask, rad.
        file: the ``.tflite`` to write.
        tile_px: rows and columns, pixels, of the only input it takes; None: the setup's frame size.
        weights: "float32"; "float16", which is stored as float16 and computed in float32; or "int8", with activations
            quantized by their range in each call (dynamic-range quantization).

    Raises InputError for another model, a tile that is smaller than its overlaps, or unknown weights.
    """
    if weights not in WEIGHTS:
        raise InputError(f"{argument('weights')} {weights}: expected {', '.join(WEIGHTS)}")
    frame_px = (setup.volume.height_px, setup.volume.width_px)
    tile_px = tile_px or frame_px
    network = portable_network(model, setup)
    if setup.learning.network == "pixel":
        least = 2 * overlap_of_maps_px(model.receptive_radius_px) + STRIDE
        if tile_px != frame_px and any(side % STRIDE for side in tile_px):
            raise InputError(
                f"{argument('tile_px')} {tile_px[0]} {tile_px[1]}: tiles of pixel networks are multiples of {STRIDE}"
            )
    else:
        around = tile_overlap_px(
            model.receptive_radius_px, setup.learning.peak_radius_voxels, setup.volume.lateral_voxels
        )
        least = 2 * around + 1
    # A tile of the setup's frame size is always allowed: a frame of that size needs only one tile.
    if min(tile_px) < least and tile_px != frame_px:
        raise InputError(
            f"{argument('tile_px')} {tile_px[0]} {tile_px[1]}: too small; the overlaps alone take {least - 1} pixels, "
            f"so each side needs at least {least}"
        )
    converter = _converter(network, tile_px)
    if weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    with silent_unless_it_fails():
        content = converter.convert()
    Path(file).write_bytes(content)
    written = NetworkFile(Path(file), setup, np.asarray(mask_rad), int(model.receptive_radius_px), weights, tile_px)
    written.write()
    return written


def _converter(network: Any, tile_px: tuple[int, int]) -> Any:
    specs = [tf.TensorSpec([1, *tile_px], tf.float32, name="frames")]
    if len(network.inputs) == 2:
        specs.append(tf.TensorSpec([1, 2], tf.float32, name="range"))
    function = tf.function(lambda *inputs: network(list(inputs), training=False), input_signature=specs)
    # Weights become constants: TFLite would not initialize those that are variables of Keras.
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen])
