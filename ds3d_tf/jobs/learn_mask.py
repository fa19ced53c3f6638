"""The job of `ds3d learn-mask`: a phase mask learned together with a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.file_names import (
    BEST_JACCARD_FILE,
    CHECKPOINT_FILE,
    CURVES_FILE,
    HISTORY_FILE,
    MASK_FILE,
    NETWORK_FILE,
    SETUP_FILE,
)
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, new_folder, remove_output
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import LearnMaskOptions
from ds3d_tf.setup import Setup
from ds3d_tf.setup.sections import LearningSection
from ds3d_tf.training.run_folder.resumed import resumed_run

if TYPE_CHECKING:
    from ds3d_tf.training.callbacks.checkpoint import Checkpoint

START_FILE = "start_mask.npy"
LOCALIZATION_FILE = "localization_setup.yaml"
PICTURES = "pictures"
FILM = "film.gif"
FIGURE = "learned.png"
OWN_FILES = frozenset(
    {SETUP_FILE, START_FILE, MASK_FILE, "mask.mat", LOCALIZATION_FILE, f"{PICTURES}/*.png", FILM, FIGURE, NETWORK_FILE}
    | {BEST_JACCARD_FILE, HISTORY_FILE, CURVES_FILE, CHECKPOINT_FILE}
)
CURVE_HEIGHTS = 21


@dataclass(frozen=True)
class LearnedMask:
    """A run folder and how the run ended ("finished", "early", "interrupted" or "not_finite").

    ``epochs`` counts the epochs that ended; ``best_epoch`` (from 1) is the mask's, and ``validation_loss`` its loss.
    ``bounds_nm`` maps "start" and "learned" to the mean Cramér–Rao bound over z, nm.
    """

    folder: Path
    ended: str
    epochs: int
    best_epoch: int
    validation_loss: float
    detail: str
    bounds_nm: dict[str, float]

    def summary(self) -> str:
        """Return the outcome as a few lines."""
        from ds3d_tf.training.run_folder.parts import how_it_ended

        how = how_it_ended(self.ended, self.detail)
        kept = f"the mask of epoch {self.best_epoch}, validation loss {self.validation_loss:.4g}"
        if not self.best_epoch:
            kept = "the mask of the unfinished epoch"
        bounds = ", ".join(f"{name} {value:.1f} nm" for name, value in self.bounds_nm.items())
        return f"{how} ({self.epochs} epochs); kept {kept}\nmean Cramér–Rao bound: {bounds}\nrun folder: {self.folder}/"


@takes_options(LearnMaskOptions)
def learn_mask(
    setup: Setup | None,
    out: str | Path,
    options: LearnMaskOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> LearnedMask:
    """Learn a phase mask together with the network that reads its images; docs/mask_design.md lists the files.

    Ctrl-C ends the run and keeps the best mask so far.

    Args:
        setup: what is learned, from its own mask on; None: that of the run that is resumed.
        out: run folder.
        options: see :class:`~ds3d_tf.options.LearnMaskOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier run.
        progress: if it is given, bars on stderr show the training.

    Raises InputError for a setup that cannot be learned with or is not the resumed run's, an output that exists or
    cannot be written, or a loss that is not finite in the first epoch.
    """
    out = Path(out)
    fixed = options.fixed
    if setup is not None:
        setup = _checked(setup.replace({"mask.learn": not fixed}) if setup.mask.learn == fixed else setup)
    start: Checkpoint | None = None
    if options.resume or (setup is not None and setup.resuming.resume):
        setup, start = resumed_run(setup, out)
    elif setup is None:
        raise InputError(f"{argument('setup')} is missing; only a run that is resumed has one in its folder")
    else:
        out = check_folder(out, overwrite, "learn-mask")

    import tensorflow as tf

    from ds3d_tf.model.mask_learning_net import MaskLearningNet
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.simulation.voxel_grid import VoxelGrid
    from ds3d_tf.training import compile_network, fit
    from ds3d_tf.training.callbacks.best import KeepBest
    from ds3d_tf.training.callbacks.checkpoint import checkpoint_seconds
    from ds3d_tf.training.imaging_examples import imaging_examples
    from ds3d_tf.training.mask_files import MaskPictures, write_mask
    from ds3d_tf.training.run_folder.resumed_examples import resumed_examples

    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    start_rad = load_mask(setup)
    data, unfinished = resumed_examples(partial(imaging_examples, setup), start)
    model = MaskLearningNet.from_setup(setup, start_rad)
    # The renderer's loop over emitters has no fixed length, which XLA asks for.
    compile_network(model, setup, jit_compile=False, grid=replace(VoxelGrid.from_setup(setup), voxels_per_pixel=1))
    if start is None:
        with new_folder(out, "learn-mask", OWN_FILES) as folder:
            _write_start(folder, setup, start_rad)
    try:
        outcome = fit(
            model,
            data,
            setup,
            out,
            callbacks=[
                MaskPictures(out / PICTURES, setup, options.pictures_every),
                KeepBest(out / MASK_FILE, "val_loss", write=write_mask),
            ],
            show_progress=progress is not no_progress,
            start=start,
            unfinished=unfinished,
            checkpoint_seconds=checkpoint_seconds(),
        )
    except tf.errors.ResourceExhaustedError as error:
        raise InputError(
            f"not enough memory for {setup.learning.batch_size} frames a step; lower learning.batch_size"
        ) from error
    finally:
        nothing = not (out / NETWORK_FILE).is_file()
        if nothing and start is None and not (out / CHECKPOINT_FILE).is_file():
            remove_output(out)
    if nothing:
        if start is None:
            remove_output(out)
        raise InputError(f"{outcome.detail}; nothing was learned: lower learning.learning_rate or check the setup")
    if not (out / MASK_FILE).is_file():
        write_mask(out / MASK_FILE, model)
    bounds_nm = _finish(out, setup, start_rad)
    loss = min((row["val_loss"] for row in outcome.rows if row["epoch"] == outcome.best_epoch), default=float("nan"))
    return LearnedMask(out, outcome.ended, len(outcome.rows), outcome.best_epoch, loss, outcome.detail, bounds_nm)


def _checked(setup: Setup) -> Setup:
    if setup.training_set.folder is not None:
        raise InputError(
            "training_set.folder: frames on disk were made with one mask, and cannot teach another; remove it"
        )
    return setup


def _write_start(out: Path, setup: Setup, start_rad: np.ndarray) -> None:
    """Write the setup of the run, with the mask it starts from beside it."""
    setup.with_mask(start_rad, START_FILE).save(out / SETUP_FILE)


def localization_setup(setup: Setup, mask_rad: np.ndarray) -> Setup:
    """Return the setup that trains a localization network with a learned mask, which it carries as ``mask.npy``.

    What belongs to the network's output on a fine grid (scale, threshold, batch) is set to the usual values.

    Args:
        setup: of the run that learned the mask.
        mask_rad: float64 ``[N, N]`` (rows along y, columns along x), rad.
    """
    usual = LearningSection()
    changes: dict[str, Any] = {
        "name": f"{setup.name}, learned mask",
        "mask.learn": False,
        "learning.batch_size": min(setup.learning.batch_size, usual.batch_size),
    }
    for name in ("scaling_factor", "peak_threshold", "peak_radius_voxels"):
        changes[f"learning.{name}"] = getattr(usual, name)
    return setup.with_mask(mask_rad, MASK_FILE).replace(changes)


def _finish(out: Path, setup: Setup, start_rad: np.ndarray) -> dict[str, float]:
    """Write what is made of the learned mask; return the mean bounds of start and learned mask, nm."""
    from scipy.io import savemat

    from ds3d_tf.common.files import whole_file
    from ds3d_tf.optics.crlb_curve import bound_over_z, typical_conditions
    from ds3d_tf.optics.design_files import SHOWN_HEIGHTS, bound_figures, draw_design
    from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
    from ds3d_tf.training.mask_files import images_over_z, write_film

    learned_rad = np.load(out / MASK_FILE)
    with whole_file(out / "mask.mat") as temporary:
        savemat(temporary, {"mask": learned_rad}, appendmat=False)
    localization_setup(setup, learned_rad).save(out / LOCALIZATION_FILE)
    write_film(out / FILM, out / PICTURES)
    conditions = typical_conditions(setup)
    z_um = np.linspace(setup.volume.z_min_um, setup.volume.z_max_um, CURVE_HEIGHTS)
    bounds = {
        name: bound_over_z(exact_renderer(setup.optics, setup.volume, mask_rad), z_um, conditions)
        for name, mask_rad in (("start", start_rad), ("learned", learned_rad))
    }
    _, images = images_over_z(setup, learned_rad, SHOWN_HEIGHTS)
    title = f"{setup.name}: learned mask"
    with whole_file(out / FIGURE) as temporary:
        draw_design(temporary, title, setup.optics, conditions, learned_rad, z_um, bounds, images)
    return {name: bound_figures(bound)["mean_nm"] for name, bound in bounds.items()}
