"""The job of `ds3d import-weights`: DeepSTORM3D's PyTorch weights as a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import ImportWeightsOptions
from ds3d_tf.setup import Setup

DILATIONS = (16, 4)
DILATION_FRAMES = 8
FEWEST_FOUND = 0.5


@dataclass(frozen=True)
class ImportedWeights:
    """What was written, and how it was found out.

    ``found`` maps dilation → share of the simulated lone emitters that were found; ``bias_nm`` maps grid → mean error
    (x, y, z) of the localizations, with standard error ``uncertainty_nm``. Empty for what was told, not found out.
    """

    folder: Path
    depth_voxels: int
    max_dilation: int
    grid: str
    found: dict[int, float]
    bias_nm: dict[str, tuple[float, float, float]]
    uncertainty_nm: tuple[float, ...] = ()

    def summary(self) -> str:
        """Return the findings as a few lines."""
        how = ", ".join(f"{dilation}: {share:.0%}" for dilation, share in self.found.items())
        lines = [
            f"depth voxels: {self.depth_voxels}",
            f"dilation: {self.max_dilation}" + (f" (lone emitters found with {how})" if self.found else " (as given)"),
            f"grid: {self.grid}" + ("" if self.bias_nm else " (as given)"),
        ]
        for grid, (x, y, z) in self.bias_nm.items():
            lines.append(f"  {grid}: bias x {x:+.1f} nm, y {y:+.1f} nm, z {z:+.1f} nm")
        if self.uncertainty_nm:
            lines.append(f"  standard error: {', '.join(f'{value:.1f}' for value in self.uncertainty_nm)} nm")
        return "\n".join([*lines, f"model folder: {self.folder}/"])


@takes_options(ImportWeightsOptions)
def import_weights(
    weights: str | Path,
    setup: Setup,
    out: str | Path,
    options: ImportWeightsOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> ImportedWeights:
    """Write a model folder with the network of a .pkl file, its SavedModel, the setup and the mask.

    The number of depth voxels and filters is read from the weights. The dilation and the voxel grid, unless given, are
    detected by localizing simulated lone emitters: the dilation that finds more, the grid of the smaller bias.

    Args:
        weights: a ``state_dict`` of DeepSTORM3D's LocalizationCNN.
        setup: optics, frames and peak finding that the weights were trained for.
        out: folder to write.
        options: see :class:`~ds3d_tf.options.ImportWeightsOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier model folder.
        progress: told how many simulated frames are localized.

    Raises InputError if the weights cannot be read or are of another network, do not fit the setup, or localize too
    badly with it to detect dilation and grid, or if the output exists or cannot be written.
    """
    out = check_folder(out, overwrite, "import-weights")
    max_dilation: int | None = options.max_dilation
    grid: str | None = options.grid
    if max_dilation not in (None, *DILATIONS):
        raise InputError(f"{argument('max_dilation')} {max_dilation}: expected 16 or 4")

    from ds3d_tf.optics.masks import load_mask

    # Weights know the mask they were trained with: no other one will do. A mask that is missing is said at once.
    mask_rad = load_mask(setup, allow_substitute=False)

    from ds3d_tf.evaluation.lone_emitters import TRIAL_FRAMES, LoneEmitters
    from ds3d_tf.export.card import write_card
    from ds3d_tf.export.saved_model import export_saved_model
    from ds3d_tf.model.files import save_model_folder
    from ds3d_tf.model.torch_weights import network_from_state, read_state

    state = read_state(weights)
    scaling_factor = setup.learning.scaling_factor if options.scaling_factor is None else options.scaling_factor

    def network(dilation: int) -> Any:
        return network_from_state(state, dilation, scaling_factor, where=str(weights))

    model = network(max_dilation or DILATIONS[0])
    setup = _fitting(setup, model, options.depth_voxels, scaling_factor, str(weights))
    found: dict[int, float] = {}
    bias_nm: dict[str, tuple[float, float, float]] = {}
    uncertainty_nm: tuple[float, ...] = ()
    if max_dilation is None or grid is None:
        trial = LoneEmitters(setup, progress)
        if max_dilation is None:
            networks = {DILATIONS[0]: model, **{dilation: network(dilation) for dilation in DILATIONS[1:]}}
            found = {d: len(trial.errors_um(net, DILATION_FRAMES)) / DILATION_FRAMES for d, net in networks.items()}
            max_dilation = max(found, key=lambda dilation: found[dilation])
            model = networks[max_dilation]
        if grid is None:
            errors_um = trial.errors_um(model, TRIAL_FRAMES)
            _refuse_failure(len(errors_um) / TRIAL_FRAMES, setup, str(weights))
            errors_nm = 1000 * _without_outliers(errors_um)
            bias_nm = _bias_by_grid(errors_nm.mean(axis=0), 1000 * setup.optics.pixel_um)
            uncertainty_nm = tuple(errors_nm.std(axis=0, ddof=1) / np.sqrt(len(errors_nm)))
            grid = min(bias_nm, key=lambda name: max(abs(value) for value in bias_nm[name][:2]))
        else:
            _refuse_failure(found[max_dilation], setup, str(weights))
    setup = setup.replace({"volume.grid": grid, "learning.max_dilation": max_dilation})
    with output_folder(out, overwrite, "import-weights") as folder:
        save_model_folder(folder, model, setup, mask_rad)
        export_saved_model(model, setup, mask_rad, folder / "saved_model")
        write_card(folder)
    return ImportedWeights(out, model.depth_voxels, max_dilation, grid, found, bias_nm, uncertainty_nm)


def _fitting(setup: Setup, model: Any, depth_voxels: int | None, scaling_factor: float, where: str) -> Setup:
    """Return the setup with the network's own sizes; refuse a depth that nobody has confirmed."""
    wanted = setup.volume.depth_voxels if depth_voxels is None else depth_voxels
    if model.depth_voxels != wanted:
        named = (
            f"{argument('depth_voxels')} {wanted}" if depth_voxels is not None else f"setup {setup.name} has {wanted}"
        )
        raise InputError(
            f"{where}: the weights have {model.depth_voxels} depth voxels but {named}; use the setup they were "
            f"trained with, or set {argument('depth_voxels')} {model.depth_voxels} if they span the same z range"
        )
    return setup.replace(
        {
            "volume.depth_voxels": model.depth_voxels,
            "learning.filters": model.filters,
            "learning.scaling_factor": scaling_factor,
        }
    )


def _refuse_failure(share: float, setup: Setup, where: str) -> None:
    if share < FEWEST_FOUND:
        raise InputError(
            f"{where}: with setup {setup.name} the network finds only {share:.0%} of simulated lone emitters; give the "
            f"setup the weights were trained with, or set {argument('max_dilation')} and {argument('grid')}"
        )


def _without_outliers(errors_um: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(errors_um - np.median(errors_um, axis=0), axis=1)
    return errors_um[distance < 0.1]


def _bias_by_grid(bias_nm: np.ndarray, pixel_nm: float) -> dict[str, tuple[float, float, float]]:
    """Return grid → mean error (x, y, z), nm, from that on the pixel-area grid."""
    x, y, z = (float(value) for value in bias_nm)
    return {"pixel_area": (x, y, z), "half_pixel_shifted": (x + pixel_nm / 2, y + pixel_nm / 2, z)}
