"""The folder of a trained or imported model: ``model.keras``, ``setup.yaml`` and ``mask.npy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.file_names import MASK_FILE, NETWORK_FILE, SETUP_FILE
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.versions import highest_version
from ds3d_tf.model.file_checks import check_keras_file, check_network
from ds3d_tf.optics.masks import read_mask
from ds3d_tf.setup import Setup, load_setup


def save_model_folder(folder: str | Path, model: Any, setup: Setup, mask_rad: np.ndarray) -> None:
    """Write a network with its setup and mask into a folder, which is made if need be.

    Args:
        folder: where to.
        model: a Keras model.
        setup: its ``Setup``; the saved one points at the mask beside it.
        mask_rad: float64 ``[N, N]`` (rows along y), phase mask, radians.

    Raises InputError if a file cannot be written.
    """
    save_setup_and_mask(folder, setup, mask_rad)
    with whole_file(Path(folder) / NETWORK_FILE) as temporary:
        model.save(temporary, include_optimizer=False)


def save_setup_and_mask(folder: str | Path, setup: Setup, mask_rad: np.ndarray) -> None:
    """Write the setup and mask of a model folder, before or without its network.

    Args:
        folder: where to.
        setup: a ``Setup``; the saved one points at the mask beside it.
        mask_rad: float64 ``[N, N]`` (rows along y), phase mask, radians.

    Raises InputError if a file cannot be written.
    """
    setup.with_mask(mask_rad, MASK_FILE).save(Path(folder) / SETUP_FILE)


def find_model_folder(folder: str | Path) -> Path:
    """Return the folder that holds the model's files: ``folder`` itself, or the highest of its numbered versions."""
    folder = Path(folder).expanduser()
    return folder if (folder / NETWORK_FILE).is_file() else highest_version(folder, NETWORK_FILE) or folder


def load_model_folder(folder: str | Path) -> tuple[Any, Setup, np.ndarray]:
    """Return the Keras model, the ``Setup`` and the mask (float64 ``[N, N]``, radians) of a model folder.

    In a folder of numbered versions, the highest version is loaded.
    Raises InputError if the folder is not a model folder, or a file in it is missing or damaged.
    """
    folder = find_model_folder(folder)
    if not folder.is_dir():
        problem = "a file, not a model folder" if folder.exists() else "no such model folder"
        raise InputError(f"{folder}: {problem}; give a folder written by `ds3d train` or `ds3d import-weights`")
    for name in (NETWORK_FILE, SETUP_FILE, MASK_FILE):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: not a model folder (no {name}); give a folder written by `ds3d train` or "
                "`ds3d import-weights`"
            )
    setup = load_setup(folder / SETUP_FILE)
    mask_rad = read_mask(folder / MASK_FILE)
    check_keras_file(folder / NETWORK_FILE)
    import keras

    import ds3d_tf.model  # noqa: F401  (registers the layers)

    try:
        model = keras.saving.load_model(folder / NETWORK_FILE, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a damaged file
        raise InputError(
            f"{folder / NETWORK_FILE}: damaged, or not written by this program; train or import it again"
        ) from error
    check_network(model, setup, folder)
    return model, setup, mask_rad
