"""A network as ONNX, by Keras' own export, for onnxruntime and others."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import argument
from ds3d_tf.common.optional import require
from ds3d_tf.common.quiet import silent_unless_it_fails
from ds3d_tf.export.portable import portable_network
from ds3d_tf.localization.engines.network_file import NetworkFile
from ds3d_tf.setup import Setup


def export_onnx(model: Any, setup: Setup, mask_rad: np.ndarray, file: str | Path) -> NetworkFile:
    """Write a network for frames of any size as ONNX, with its description beside it.

    Args:
        model: a ``LocalizationNet``.
        setup: its ``Setup``.
        mask_rad: float64 ``[N, N]`` (row, column), phase mask, rad.
        file: the ``.onnx`` to write.

    Raises InputError for another model, or if the extra is not installed.
    """
    require(f"{argument('to')} onnx", "onnx", "tf2onnx", "onnx")
    network = portable_network(model, setup)
    with silent_unless_it_fails(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.export(str(file), format="onnx", verbose=False)
    import onnx

    graph = onnx.load(str(file))
    _tidy(graph)
    onnx.save(graph, str(file))
    written = NetworkFile(Path(file), setup, np.asarray(mask_rad), int(model.receptive_radius_px))
    written.write()
    return written


def _tidy(model: Any) -> None:
    """Write the paddings as numbers, which onnxruntime needs for dilated convolutions.

    Keras exports transposed convolutions of stride 2 without padding, each followed by some thirty nodes that crop the
    result to twice the size; a padding of 1 does the same.
    """
    from onnx import helper

    graph = model.graph
    renamed: dict[str, str] = {}
    for node in graph.node:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        if node.op_type == "Conv" and attributes.get("auto_pad") == b"SAME_UPPER":
            pads = [
                step * (size - 1) // 2
                for step, size in zip(attributes["dilations"], attributes["kernel_shape"], strict=True)
            ]
            kept = [entry for entry in node.attribute if entry.name != "auto_pad"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("pads", 2 * pads)])
        elif node.op_type == "ConvTranspose" and "pads" not in attributes and attributes["kernel_shape"] == [4, 4]:
            cut = next(n for n in graph.node if n.op_type == "Slice" and node.output[0] in n.input)
            pad = next(n for n in graph.node if n.op_type == "Pad" and cut.output[0] in n.input)
            node.attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
            renamed[pad.output[0]] = node.output[0]
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    _drop_unused(graph)


def _drop_unused(graph: Any) -> None:
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [value for value in graph.initializer if value.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)
