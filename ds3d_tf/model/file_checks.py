"""A network's file looked at before Keras builds what it describes, and compared with its setup."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from ds3d_tf.common.arrays import MAX_BYTES, first_line
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.file_names import SETUP_FILE
from ds3d_tf.common.limits import MAX_DEPTH_VOXELS
from ds3d_tf.common.texts import MAX_YAML_BYTES, parse_json
from ds3d_tf.setup import Setup, load_setup

_MEND = "train or import it again"
# Numbers of a network that may be large: they name no size.
_NO_SIZE = ("seed", "scaling_factor")


def check_keras_file(path: str | Path) -> None:
    """Refuse a ``.keras`` file that unpacks to more than memory holds, or describes layers of absurd sizes.

    Raises InputError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if total > MAX_BYTES:
                raise InputError(f"{path}: {total / 1e9:.3g} GB when unpacked, too large for a network here; {_MEND}")
            if archive.getinfo("config.json").file_size > 8 * MAX_YAML_BYTES:
                raise InputError(f"{path}: its description is too long; {_MEND}")
            config = parse_json(archive.read("config.json"), f"{path}: config.json")
    except InputError:
        raise
    except Exception as error:  # zipfile raises many kinds of errors for a damaged file
        raise InputError(f"{path}: damaged, or not written by this program ({first_line(error)}); {_MEND}") from error
    waiting = [("", config)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            # What it was trained with (steps of a schedule among it) is not built.
            waiting += [(str(key), inner) for key, inner in value.items() if key != "compile_config"]
        elif isinstance(value, list):
            waiting += [(name, inner) for inner in value]
        elif isinstance(value, int) and value > 2 * MAX_DEPTH_VOXELS and name not in _NO_SIZE:
            raise InputError(f"{path}: describes a network with {name} {value}, which no memory holds; {_MEND}")


def check_network(model: Any, setup: Setup, folder: Path) -> None:
    """Refuse a setup that contradicts its network, or the copy of it inside the model that was exported from it.

    Raises InputError.
    """
    volume, learning = setup.volume, setup.learning
    for attribute, field, value in (
        ("depth_voxels", "volume.depth_voxels", volume.depth_voxels),
        ("scaling_factor", "learning.scaling_factor", learning.scaling_factor),
    ):
        own = getattr(model, attribute, value)
        if own != value:
            raise InputError(
                f"{folder / SETUP_FILE}: {field} is {value:g}, but the network beside it has {own:g}: the setup of "
                "another network; put back the setup it was trained with"
            )
    for copy in (folder / "assets" / SETUP_FILE, folder / "saved_model" / "assets" / SETUP_FILE):
        if copy.is_file():
            other = load_setup(copy).normalization
            if other != setup.normalization:
                raise InputError(
                    f"{folder / SETUP_FILE}: section `normalization` is not that of the exported model ({copy}); put "
                    "back the setup the network was trained with"
                )
