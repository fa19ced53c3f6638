"""The runtimes that evaluate a network's file, each as one function of NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.machine import cores
from ds3d_tf.common.optional import require
from ds3d_tf.common.quiet import silent_unless_it_fails
from ds3d_tf.localization.engines.network_file import NetworkFile

# Raw frames [B, h, w] and the ranges [B, 2] of the whole frames, which some networks need → volume [B, 4h, 4w, D].
Network = Callable[[np.ndarray, np.ndarray], Any]


def open_network(file: NetworkFile, precision: str = "float32") -> Network:
    """Return the network of a file as a function of raw frames and their ranges.

    ``precision`` is "float32", or "bfloat16" for OpenVINO on processors that are faster at it.
    Raises InputError if the runtime is not installed or cannot load the file.
    """
    if file.format == "tflite":
        return _tflite(file)
    if file.format == "onnx":
        return _onnx(file)
    return _openvino(file, precision)


def precisions(file: NetworkFile) -> tuple[str, ...]:
    """Return the precisions in which the network of a file can be evaluated."""
    return ("float32", "bfloat16") if file.format == "openvino" else ("float32",)


def _tflite(file: NetworkFile) -> Network:
    require(str(file.path), "tflite", "ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    try:
        with silent_unless_it_fails():
            interpreter = Interpreter(str(file.path), num_threads=cores())
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _refused(file.path, "ai-edge-litert", error) from error
    by_rank = {len(entry["shape"]): entry["index"] for entry in interpreter.get_input_details()}
    output = interpreter.get_output_details()[0]["index"]

    def run(frames: np.ndarray, ranges: np.ndarray) -> np.ndarray:
        volumes = []
        # A TFLite network takes one frame at a time.
        for frame, frame_range in zip(frames, ranges, strict=True):
            interpreter.set_tensor(by_rank[3], frame[np.newaxis])
            if file.needs_range:
                interpreter.set_tensor(by_rank[2], frame_range[np.newaxis])
            interpreter.invoke()
            volumes.append(interpreter.get_tensor(output))
        return volumes[0] if len(volumes) == 1 else np.concatenate(volumes)

    return run


def _onnx(file: NetworkFile) -> Network:
    require(str(file.path), "onnx", "onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.log_severity_level = 4
    # Its memory arena keeps a plan for every tile size and takes more than twice the memory of one tile.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise _refused(file.path, "onnxruntime", error) from error
    by_rank = {len(entry.shape): entry.name for entry in session.get_inputs()}

    def run(frames: np.ndarray, ranges: np.ndarray) -> np.ndarray:
        inputs = {by_rank[3]: frames}
        if file.needs_range:
            inputs[by_rank[2]] = ranges
        return session.run(None, inputs)[0]

    return run


def _openvino(file: NetworkFile, precision: str) -> Network:
    require(str(file.path), "openvino", "openvino")
    import openvino

    # By default OpenVINO computes in bfloat16 on processors that support it.
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": cores(),
        # A thread pinned to a core that another process uses would delay all other threads.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(str(file.path)), "CPU", hints)
    except RuntimeError as error:
        raise _refused(file.path, "openvino", error) from error
    by_rank = {entry.partial_shape.rank.get_length(): index for index, entry in enumerate(compiled.inputs)}

    def run(frames: np.ndarray, ranges: np.ndarray) -> np.ndarray:
        inputs = {by_rank[3]: frames}
        if file.needs_range:
            inputs[by_rank[2]] = ranges
        # A copy: the next call overwrites the runtime's array.
        return np.array(compiled(inputs)[0])

    return run


def _refused(path: Path, package: str, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return InputError(f"{path}: {package} cannot load it ({reason}); export it again")
