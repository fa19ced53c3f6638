"""What a new run starts from: fresh weights or those of an earlier network, and which layers learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    import keras

    from ds3d_tf.training.examples import Examples

# At most this many differences between two setups are named; the others are counted.
MAX_NAMED_DIFFERENCES = 6


def with_absolute_start(setup: Setup) -> Setup:
    """Return the setup with the absolute path of the folder that it starts from."""
    if setup.resuming.checkpoint is None:
        if setup.resuming.fresh_layers:
            raise InputError(
                f"{argument('fresh')} (resuming.fresh_layers) needs {argument('start')}: without it all layers are "
                "initialised anyway"
            )
        return setup
    return setup.replace({"resuming.checkpoint": str(Path(setup.resuming.checkpoint).expanduser().absolute())})


def prepare_network(model: Any, setup: Setup, load: bool) -> list[str]:
    """Load and freeze a network's weights as its setup asks, before it is compiled; return messages for the user.

    Args:
        model: a LocalizationNet.
        setup: its ``Setup``; see its section ``resuming``.
        load: whether to load the weights it starts from; a resumed run has them in its checkpoint.

    Raises InputError if the folder to start from or a layer's name does not fit.
    """
    from ds3d_tf.training.run_folder.starting_weights import freeze, start_from

    resuming = setup.resuming
    messages: list[str] = []
    if load and resuming.checkpoint is not None:
        origin = start_from(model, resuming.checkpoint, resuming.fresh_layers)
        messages.append(f"starts from {resuming.checkpoint}" + _differences(setup, origin))
        if resuming.fresh_layers:
            messages.append(f"re-initialised layers: {', '.join(resuming.fresh_layers)}")
    if resuming.frozen_layers:
        messages.append(f"frozen layers: {', '.join(freeze(model, resuming.frozen_layers))}")
    return messages


def announce_start(model: keras.Model, data: Examples, messages: list[str]) -> None:
    """Print the messages of ``prepare_network`` and the metrics of the compiled network before training."""
    values = model.evaluate(data.validation, steps=data.validation_steps, verbose=0, return_dict=True)
    before = f"validation loss {values['loss']:.4g}, soft Jaccard {values['jaccard']:.3f}"
    for line in [*messages, f"before training: {before}"]:
        console.messages().print(line, soft_wrap=True)


def _differences(setup: Setup, origin: Setup) -> str:
    from ds3d_tf.training.callbacks.checkpoint import differences

    # Ignored: what has no influence on the weights, and the mask, whose file name is arbitrary.
    ignored: dict[str, Any] = {"name": "", "resuming": {}, "training_set": {}, "mask": {}}
    settings, other = ({**one.model_dump(mode="json"), **ignored} for one in (setup, origin))
    changed = differences(settings, other)
    if not changed:
        return ""
    more = f" and {len(changed) - MAX_NAMED_DIFFERENCES} more" if len(changed) > MAX_NAMED_DIFFERENCES else ""
    return f", whose {'; '.join(changed[:MAX_NAMED_DIFFERENCES])}{more}"
