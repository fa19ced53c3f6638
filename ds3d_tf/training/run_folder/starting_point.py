"""What a new run begins with: fresh weights or those of an earlier network, and which layers learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.setup import Setup

# So many differences between two setups are named; the others are counted.
NAMED_DIFFERENCES = 6


def with_absolute_start(setup: Setup) -> Setup:
    """Return the setup with the folder it starts from written in full, so that it holds anywhere."""
    if setup.resuming.checkpoint is None:
        if setup.resuming.fresh_layers:
            raise InputError("--fresh (resuming.fresh_layers) needs --from: without it all layers begin anew")
        return setup
    return setup.replace({"resuming.checkpoint": str(Path(setup.resuming.checkpoint).expanduser().absolute())})


def prepare_network(model: Any, setup: Setup, load: bool) -> list[str]:
    """Give a network, before it is compiled, the start that its setup asks for; return what to tell the user.

    Args:
        model: a LocalizationNet.
        setup: its ``Setup``; see its section ``resuming``.
        load: whether to load the weights it starts from; a run that is resumed has its own.

    Raises InputError if the folder to start from or a layer's name does not fit.
    """
    from ds3d_tf.training.run_folder.starting_weights import freeze, start_from

    resuming, told = setup.resuming, []
    if load and resuming.checkpoint is not None:
        origin = start_from(model, resuming.checkpoint, resuming.fresh_layers)
        told.append(f"starts from {resuming.checkpoint}" + _differences(setup, origin))
        if resuming.fresh_layers:
            told.append(f"fresh layers: {', '.join(resuming.fresh_layers)}")
    if resuming.frozen_layers:
        told.append(f"frozen layers: {', '.join(freeze(model, resuming.frozen_layers))}")
    return told


def announce_start(model: Any, data: Any, told: list[str]) -> None:
    """Print what ``prepare_network`` returned and how the compiled network does on the validation batches of a run."""
    found = model.evaluate(data.validation, steps=data.validation_steps, verbose=0, return_dict=True)
    figures = f"validation loss {found['loss']:.4g}, soft Jaccard {found['jaccard']:.3f}"
    for line in [*told, f"before training: {figures}"]:
        console.messages().print(line, soft_wrap=True)


def _differences(setup: Setup, origin: Setup) -> str:
    from ds3d_tf.training.callbacks.checkpoint import differences

    # What cannot matter to the weights, and the mask, whose name says nothing.
    ignored: dict[str, Any] = {"name": "", "resuming": {}, "training_set": {}, "mask": {}}
    settings, other = ({**one.model_dump(mode="json"), **ignored} for one in (setup, origin))
    found = differences(settings, other)
    if not found:
        return ""
    more = f" and {len(found) - NAMED_DIFFERENCES} more" if len(found) > NAMED_DIFFERENCES else ""
    return f", whose {'; '.join(found[:NAMED_DIFFERENCES])}{more}"
