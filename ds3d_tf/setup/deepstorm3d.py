"""From DeepSTORM3D's parameter dictionaries to the sections of a Setup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup.messages import suggest

RENAMED = {
    "learn_mask": "mask.learn",
    "lamda": "optics.wavelength_um",
    "NA": "optics.numerical_aperture",
    "noil": "optics.n_oil",
    "nwater": "optics.n_water",
    "pixel_size_CCD": "optics.camera_pixel_um",
    "pixel_size_SLM": "optics.slm_pixel_um",
    "M": "optics.magnification",
    "f_4f": "optics.focal_length_um",
    "Hmask": "mask.size_px",
    "H": "volume.height_px",
    "W": "volume.width_px",
    "clear_dist": "volume.margin_px",
    "zmin": "volume.z_min_um",
    "zmax": "volume.z_max_um",
    "NFP": "volume.focus_um",
    "D": "volume.depth_voxels",
    "num_particles_range": "emitters.count_range",
    "nsig_unif_range": "signal.uniform_range",
    "nsig_thresh": "signal.label_threshold",
    "blur_std_range": "blur.sigma_range_px",
    "unif_bg": "background.level",
    "nonunif_bg_offset": "background.max_offset_px",
    "nonunif_bg_minvals": "background.valley_peak",
    "nonunif_bg_theta_range": "background.angle_range_rad",
    "read_noise_baseline_range": "read_noise.baseline_range",
    "read_noise_std_range": "read_noise.sigma_range",
    "ntrain": "training_set.training_count",
    "nvalid": "training_set.validation_count",
    "batch_size": "learning.batch_size",
    "max_epochs": "learning.epochs",
    "initial_learning_rate": "learning.learning_rate",
    "scaling_factor": "learning.scaling_factor",
    "resume_training": "resuming.resume",
    "num_epochs_resume": "resuming.epochs",
    "checkpoint_path": "resuming.checkpoint",
}
"""Parameters that keep their value and change their name."""

TRANSLATED = (
    "mask_init",
    "nsig_unif",
    "nsig_gamma_params",
    "nonunif_bg_flag",
    "read_noise_flag",
    "read_noise_nonuinf",
    "project_01",
    "global_factors",
    "dilation_flag",
)
"""Parameters whose value changes, too."""

DROPPED = (
    "Wmask",
    "training_data_path",
    "visualize",
    "results_path",
    "device",
    "pixel_size_FOV",
    "pixel_size_rec",
    "pixel_size_axial",
    "psf_half_size",
    "train_stats",
    "batch_size_gen",
    "train_data_folder",
    "valid_data_folder",
)
"""Parameters without a counterpart: paths are arguments of the commands, the rest follows from other values."""

REQUIRED = (
    "lamda", "NA", "noil", "nwater", "pixel_size_CCD", "pixel_size_SLM", "M", "f_4f",
    "Hmask", "H", "W", "clear_dist", "zmin", "zmax", "NFP", "D", "num_particles_range", "blur_std_range",
)  # fmt: skip


def translate(parameters: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], np.ndarray | None]:
    """Return the sections' values and the mask array of a DeepSTORM3D parameter dictionary.

    Returns:
        ``{section: {field: value}}`` and the phase mask, float64 ``[N, N]`` (row, column) in radians, or None.

    Raises:
        InputError: a parameter is unknown or a needed one is missing.
    """
    known = [*RENAMED, *TRANSLATED, *DROPPED]
    for key in parameters:
        if key not in known:
            raise InputError(f"DeepSTORM3D parameters: `{key}` is unknown; {suggest(str(key), known)}")
    missing = [key for key in REQUIRED if parameters.get(key) is None]
    if missing:
        raise InputError(f"DeepSTORM3D parameters: missing {', '.join(missing)}")
    if parameters.get("Wmask") not in (None, parameters["Hmask"]):
        raise InputError(
            f"DeepSTORM3D parameters: Hmask is {parameters['Hmask']} and Wmask {parameters['Wmask']}; masks are square"
        )
    values: dict[str, dict[str, Any]] = {}

    def put(path: str, value: Any) -> None:
        section, field = path.split(".")
        values.setdefault(section, {})[field] = _plain(value)

    for key, path in RENAMED.items():
        if _given(parameters.get(key)):
            put(path, parameters[key])
    for path, value in _translated(parameters).items():
        put(path, value)
    mask = parameters.get("mask_init")
    if mask is None or isinstance(mask, str):
        put("mask.source", mask or "flat")
        return values, None
    put("mask.source", "mask.npy")
    return values, np.asarray(mask, np.float64)


def _translated(parameters: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {"optics.fourier_grid": "rounded"}
    if parameters.get("nsig_unif", True):
        changes["signal.distribution"] = "uniform"
        changes["signal.label_threshold"] = None
    else:
        shape, scale = _pair(parameters, "nsig_gamma_params")
        changes |= {"signal.distribution": "gamma", "signal.gamma_shape": shape, "signal.gamma_scale": scale}
        changes["signal.label_threshold"] = parameters.get("nsig_thresh") or 0.0
    changes["background.kind"] = "super_gaussian" if parameters.get("nonunif_bg_flag") else "uniform"
    if not parameters.get("read_noise_flag"):
        changes["read_noise.kind"] = "none"
    else:
        changes["read_noise.kind"] = "super_gaussian" if parameters.get("read_noise_nonuinf") else "uniform"
    if parameters.get("project_01", True):
        changes["normalization.kind"] = "project_01"
    else:
        subtract, divide = _pair(parameters, "global_factors")
        changes |= {
            "normalization.kind": "factors",
            "normalization.subtract": subtract,
            "normalization.divide": divide,
        }
    flag = parameters.get("dilation_flag")
    changes["learning.max_dilation"] = 16 if flag is None or flag else 4
    return changes


def _given(value: Any) -> bool:
    return value is not None and not (isinstance(value, (list, tuple)) and all(part is None for part in value))


def _pair(parameters: Mapping[str, Any], key: str) -> tuple[float, float]:
    value = parameters.get(key)
    if value is None or len(value) != 2:
        raise InputError(f"DeepSTORM3D parameters: {key}: expected two numbers, got {value!r}")
    return value[0], value[1]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value
