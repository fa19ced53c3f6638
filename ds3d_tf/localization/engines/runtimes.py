"""The programs that evaluate a network's file, each as one function of NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.quiet import silent_unless_it_fails
from ds3d_tf.localization.engines.network_file import NetworkFile

# Raw frames [B, h, w] and, for some networks, the ranges [B, 2] of the whole frames → volume [B, 4h, 4w, D].
Network = Callable[[np.ndarray, np.ndarray], Any]


def open_network(file: NetworkFile, precision: str = "float32") -> Network:
    """Return the network of a file as a function of raw frames and their ranges.

    ``precision`` is "float32", or "bfloat16" for OpenVINO on processors that are faster at it.
    Raises InputError if the runtime is not installed or refuses the file.
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
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise _missing(file.path, "ai-edge-litert", "tflite") from error
    try:
        with silent_unless_it_fails():
            interpreter = Interpreter(str(file.path), num_threads=_cores())
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _refused(file.path, "ai-edge-litert", error) from error
    by_rank = {len(entry["shape"]): entry["index"] for entry in interpreter.get_input_details()}
    output = interpreter.get_output_details()[0]["index"]

    def run(frames: np.ndarray, ranges: np.ndarray) -> np.ndarray:
        volumes = []
        # The file holds a network for one frame.
        for frame, own_range in zip(frames, ranges, strict=True):
            interpreter.set_tensor(by_rank[3], frame[np.newaxis])
            if file.needs_range:
                interpreter.set_tensor(by_rank[2], own_range[np.newaxis])
            interpreter.invoke()
            volumes.append(interpreter.get_tensor(output))
        return volumes[0] if len(volumes) == 1 else np.concatenate(volumes)

    return run


def _onnx(file: NetworkFile) -> Network:
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing(file.path, "onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _cores()
    options.log_severity_level = 4
    # Its own store of memory keeps a plan for every size of tile, and more than twice of what one tile needs.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise _refused(file.path, "onnxruntime", error) from error
    by_rank = {len(entry.shape): entry.name for entry in session.get_inputs()}

    def run(frames: np.ndarray, ranges: np.ndarray) -> np.ndarray:
        given = {by_rank[3]: frames}
        if file.needs_range:
            given[by_rank[2]] = ranges
        return session.run(None, given)[0]

    return run


def _openvino(file: NetworkFile, precision: str) -> Network:
    try:
        import openvino
    except ImportError as error:
        raise _missing(file.path, "openvino", "openvino") from error
    # Left alone, OpenVINO computes in bfloat16 on processors that have it.
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": _cores(),
        # A thread tied to a core that another process is busy on holds up all others.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(str(file.path)), "CPU", hints)
    except RuntimeError as error:
        raise _refused(file.path, "openvino", error) from error
    by_rank = {entry.partial_shape.rank.get_length(): index for index, entry in enumerate(compiled.inputs)}

    def run(frames: np.ndarray, ranges: np.ndarray) -> np.ndarray:
        given = {by_rank[3]: frames}
        if file.needs_range:
            given[by_rank[2]] = ranges
        # A copy: the runtime's own array is overwritten by the next call.
        return np.array(compiled(given)[0])

    return run


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _missing(path: Path, package: str, extra: str) -> InputError:
    return InputError(f"{path}: needs {package}, which is not installed; pip install 'ds3d-tf[{extra}]'")


def _refused(path: Path, package: str, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return InputError(f"{path}: {package} refuses it ({reason}); export it again")
