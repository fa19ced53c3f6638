"""Starting a run from the weights of an earlier network, with layers frozen or re-initialised by name."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.model.files import load_model_folder
from ds3d_tf.setup import Setup
from ds3d_tf.setup.messages import suggest

_MADE_BY = "give the folder of a run, or of weights imported with `ds3d import-weights`"

_KINDS = {"LocalizationNet": "voxel", "PixelNet": "pixel"}


def layer_names(model: Any) -> list[str]:
    """Return the names of a network's layers, in the order in which a frame passes them."""
    return [layer.name for layer in model.layers]


def matching_layers(model: Any, patterns: Sequence[str], name: str) -> list[Any]:
    """Return the layers whose name fits one of the patterns (``*`` stands for anything).

    Raises InputError, which lists the layers, for a pattern that fits none; ``name`` is the argument it came from.
    """
    names = layer_names(model)
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in names):
            hint = suggest(pattern, names) if "*" not in pattern else ""
            hint = f"{hint} " if hint.startswith("did you mean") else ""
            raise InputError(
                f"{argument(name)} {pattern}: no layer has this name; {hint}the layers are {', '.join(names)}"
            )
    return [layer for layer in model.layers if any(fnmatchcase(layer.name, pattern) for pattern in patterns)]


def freeze(model: Any, patterns: Sequence[str]) -> list[str]:
    """Freeze layers by name and return their names; their batch normalization keeps its statistics, too.

    Call it before the network is compiled.

    Raises InputError for a pattern that fits no layer, or if nothing is left to learn.
    """
    layers = matching_layers(model, patterns, "freeze")
    for layer in layers:
        layer.trainable = False
    if not model.trainable_variables:
        raise InputError(f"{argument('freeze')} {' '.join(patterns)}: all layers are frozen, nothing is left to learn")
    return [layer.name for layer in layers]


def start_from(model: Any, folder: str | Path, fresh: Sequence[str] = ()) -> Setup:
    """Give a network the weights of another one, and return the ``Setup`` that the other was trained with.

    Args:
        model: the network that gets the weights.
        folder: a run or an imported model.
        fresh: names or patterns of the layers that keep their initial weights.

    Raises InputError if the folder holds no such network, if its layers do not fit, or for a pattern that fits none.
    """
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise InputError(f"{argument('start')} {folder}: this is a file; {_MADE_BY}")
    source, setup, _ = load_model_folder(folder)
    if type(source).__name__ in _KINDS and type(model).__name__ in _KINDS and type(source) is not type(model):
        there, here = (_KINDS[type(one).__name__] for one in (source, model))
        raise InputError(
            f"{argument('start')} {folder}: a {there} network, the setup asks for a {here} network; set "
            f"learning.network={there}, or give a {here} network"
        )
    if layer_names(source) != layer_names(model):
        raise InputError(
            f"{argument('start')} {folder}: a {type(source).__name__}, not a localization network; {_MADE_BY}"
        )
    initialised = {layer.name for layer in matching_layers(model, fresh, "fresh")}
    pairs = [pair for pair in zip(model.layers, source.layers, strict=True) if pair[0].name not in initialised]
    problems = _misfits(pairs)
    if problems:
        raise InputError(
            f"{argument('start')} {folder}: {'; '.join(problems)}; set the same values, or re-initialise the layers "
            f"that differ, for example {argument('fresh')} 'depth_*' {argument('fresh')} voxels"
        )
    for layer, other in pairs:
        for variable, value in zip(layer.variables, other.variables, strict=True):
            variable.assign(value)
    return setup


def _misfits(pairs: list[tuple[Any, Any]]) -> list[str]:
    """Return one phrase for each difference between two networks that prevents copying their weights."""
    shapes, dilations, scales = [], [], []
    for layer, other in pairs:
        here, there = ([tuple(variable.shape) for variable in one.variables] for one in (layer, other))
        if here != there:
            mine, theirs = next(pair for pair in zip(here, there, strict=True) if pair[0] != pair[1])
            shapes.append(f"{layer.name} {_times(theirs)} there, {_times(mine)} here")
        elif getattr(layer, "dilation", 1) != getattr(other, "dilation", 1):
            dilations.append(f"{layer.name} {other.dilation} there, {layer.dilation} here")
        elif getattr(layer, "scaling_factor", None) != getattr(other, "scaling_factor", None):
            scales.append(f"{other.scaling_factor:g} there, {layer.scaling_factor:g} here")
    fields = "learning.filters, volume.depth_voxels"
    kinds = ((f"weights ({fields})", shapes), ("learning.max_dilation", dilations))
    return [
        f"{what} do not fit: {', '.join(differing)}"
        for what, differing in (*kinds, ("learning.scaling_factor", scales))
        if differing
    ]


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
