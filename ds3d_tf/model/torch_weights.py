"""DeepSTORM3D's PyTorch weights (a ``state_dict`` of its LocalizationCNN) into a LocalizationNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.model.localization_net import LocalizationNet

MAX_NUMBERS = 10**8
_BLOCKS = {
    **{f"layer{i}": f"features_{i}" for i in range(1, 7)},
    **{f"deconv{i}": f"upsampling_{i}" for i in (1, 2)},
    **{f"layer{i}": f"depth_{i - 6}" for i in (7, 8, 9)},
}
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def read_state(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a PyTorch weight file by name.

    Returns:
        float32 arrays, without unit, in PyTorch's axis order (kernels ``[filters, channels, rows, columns]``).

    Raises:
        InputError: PyTorch is not installed, or the file is missing, truncated or no file of weights.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected DeepSTORM3D weights (.pkl)")
    try:
        import torch
    except ImportError as error:
        raise InputError("reading .pkl weights needs PyTorch; pip install 'ds3d-tf[torch]'") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is none of its own
        raise InputError(
            f"{path}: truncated or not a PyTorch weight file; expected DeepSTORM3D weights (.pkl)"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise InputError(f"{path}: expected a state_dict (names and tensors), got {type(state).__name__}")
    for name, tensor in state.items():
        _check_tensor(tensor, f"{path}: {name[:60]}")
    return {name: tensor.detach().to(torch.float32).numpy() for name, tensor in state.items()}


def _check_tensor(tensor: Any, where: str) -> None:
    """Refuse tensors that are not plain numbers in the file: sparse ones, or a few numbers that stand for many."""
    import torch

    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.is_complex():
        raise InputError(f"{where}: a tensor of another kind ({tensor.layout}); save the weights as plain tensors")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes() or tensor.numel() > MAX_NUMBERS:
        raise InputError(f"{where}: a tensor of {tensor.numel()} numbers that are not in the file; save it again")


def network_from_state(
    state: dict[str, np.ndarray], max_dilation: int = 16, scaling_factor: float = 800.0, where: str = "weights"
) -> LocalizationNet:
    """Return a LocalizationNet that holds the given weights; D and the number of filters come from their shapes.

    Args:
        state: float32 arrays by PyTorch name, without unit (kernels ``[filters, channels, rows, columns]``).
        max_dilation: 16 or 4; not visible in the weights.
        scaling_factor: largest confidence of a voxel; not visible in the weights.
        where: what to call the weights in an error.

    Raises:
        InputError: the weights are of another network.
    """
    for name in ("layer1.conv.weight", "layer10.weight"):
        if name not in state or state[name].ndim != 4:
            raise InputError(
                f"{where}: weights of another network ({name} is missing); expected DeepSTORM3D's LocalizationCNN"
            )
    network = LocalizationNet(
        depth_voxels=state["layer10.weight"].shape[0],
        filters=state["layer1.conv.weight"].shape[0],
        max_dilation=max_dilation,
        scaling_factor=scaling_factor,
    )
    arrays = _by_variable(network)
    wanted = set(arrays)
    found = {name for name in state if not name.endswith("num_batches_tracked")}
    if found != wanted:
        odd = sorted(found ^ wanted)[0]
        problem = "missing" if odd in wanted else "unknown"
        raise InputError(
            f"{where}: weights of another network ({odd} is {problem}); expected DeepSTORM3D's LocalizationCNN"
        )
    for name, variable in arrays.items():
        value = state[name]
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        if value.shape != tuple(variable.shape):
            raise InputError(
                f"{where}: weights of another network ({name} has shape {state[name].shape}); "
                "expected DeepSTORM3D's LocalizationCNN"
            )
        if not np.isfinite(value).all():
            raise InputError(f"{where}: {name} holds numbers that are not finite; export the weights again")
        variable.assign(value)
    return network


def _by_variable(network: LocalizationNet) -> dict[str, Any]:
    arrays = {f"norm.{torch}": getattr(network.frame_norm, ours) for torch, ours in _NORM.items()}
    blocks = {block.name: block for block in [*network.features, *network.upsampling, *network.depth]}
    for theirs, ours in _BLOCKS.items():
        block = blocks[ours]
        arrays[f"{theirs}.conv.weight"] = block.convolution.kernel
        arrays[f"{theirs}.conv.bias"] = block.convolution.bias
        for torch, norm in _NORM.items():
            arrays[f"{theirs}.bn.{torch}"] = getattr(block.norm, norm)
    arrays["layer10.weight"] = network.voxels.convolution.kernel
    arrays["layer10.bias"] = network.voxels.convolution.bias
    return arrays
