"""The run that ``--resume`` goes on with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from ds3d_tf.training.callbacks.checkpoint import Checkpoint


def resumed_run(setup: Setup | None, out: Path) -> tuple[Setup, Checkpoint]:
    """Return the setup and the checkpoint of the run in the folder ``out``, to go on with.

    Args:
        setup: what the run is asked to be, compared with what it is; None: the run's own will do.
        out: run folder, with ``setup.yaml`` and ``checkpoint.npz``.

    Raises InputError if there is no checkpoint, it is damaged, or the run is that of another setup.
    """
    from ds3d_tf.setup import load_setup
    from ds3d_tf.training.callbacks.checkpoint import differences, read_checkpoint

    checkpoint = read_checkpoint(out / "checkpoint.npz")
    own = load_setup(out / "setup.yaml")
    if setup is None:
        return own, checkpoint
    # The mask's name differs in the run's own copy, and a run may be made longer where its schedule allows it.
    same: dict[str, Any] = {
        "resuming.resume": own.resuming.resume,
        "resuming.epochs": own.resuming.epochs,
        "mask.source": own.mask.source,
        "mask.size_px": own.mask.size_px,
        "mask.zernike_rad": own.mask.zernike_rad,
    }
    if own.learning.schedule == "plateau":
        same["learning.epochs"] = setup.learning.epochs
    changed = differences(setup.replace(same).model_dump(mode="json"), own.replace(same).model_dump(mode="json"))
    if changed:
        raise InputError(f"{out}: the run of another setup ({'; '.join(changed)}); resume it with its own setup.yaml")
    return own.replace({"learning.epochs": setup.learning.epochs}), checkpoint
