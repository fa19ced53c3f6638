"""The run that ``--resume`` continues."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.file_names import CHECKPOINT_FILE, SETUP_FILE
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from ds3d_tf.training.callbacks.checkpoint import Checkpoint


def resumed_run(setup: Setup | None, out: Path) -> tuple[Setup, Checkpoint]:
    """Return the setup and the checkpoint of the run in the folder ``out``, to be resumed.

    A setup with ``resuming.epochs`` asks for that many epochs more than the run has finished.

    Args:
        setup: what the run is asked to be, compared with what it is; None: the run's own will do.
        out: run folder, with ``setup.yaml`` and ``checkpoint.npz``.

    Raises InputError if there is no checkpoint, it is damaged, the run is that of another setup, or its schedule was
    made for its own number of epochs.
    """
    from ds3d_tf.setup import load_setup
    from ds3d_tf.training.callbacks.checkpoint import differences, read_checkpoint

    checkpoint = read_checkpoint(out / CHECKPOINT_FILE)
    own = load_setup(out / SETUP_FILE)
    if setup is None:
        return own, checkpoint
    epochs = setup.learning.epochs
    if setup.resuming.epochs is not None:
        epochs = checkpoint.epoch + setup.resuming.epochs
        if own.learning.schedule != "plateau" and epochs != own.learning.epochs:
            raise InputError(
                f"resuming.epochs {setup.resuming.epochs}: the schedule of {out} falls over {own.learning.epochs} "
                f"epochs, of which {checkpoint.epoch} are done; leave it out, or start a new run from this one"
            )
    # The mask's name differs in the run's own copy, and a run may be made longer where its schedule allows it.
    same: dict[str, Any] = {
        "resuming.resume": own.resuming.resume,
        "resuming.epochs": own.resuming.epochs,
        "mask.source": own.mask.source,
        "mask.size_px": own.mask.size_px,
        "mask.zernike_rad": own.mask.zernike_rad,
    }
    if own.learning.schedule == "plateau" or setup.resuming.epochs is not None:
        same["learning.epochs"] = epochs
    changed = differences(setup.replace(same).model_dump(mode="json"), own.replace(same).model_dump(mode="json"))
    if changed:
        raise InputError(f"{out}: the run of another setup ({'; '.join(changed)}); resume it with its own setup.yaml")
    return own.replace({"learning.epochs": epochs}), checkpoint
