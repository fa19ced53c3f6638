"""Phase masks: built in, or read from a .mat, .npy or .tif file."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from ds3d_tf.common.arrays import MAX_BYTES, check_plane, read_npy, read_tiff_plane
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.texts import parse_yaml
from ds3d_tf.optics.pupil import PupilGrids, pupil_grids
from ds3d_tf.optics.zernike import zernike, zernike_phase
from ds3d_tf.setup import Setup

_LOG = logging.getLogger(__name__)
MASK_SUFFIXES = (".mat", ".npy", ".tif", ".tiff")
BuiltInMask = Callable[[Setup, PupilGrids], np.ndarray]
_BUILT_IN: dict[str, BuiltInMask] = {}


def built_in_mask(name: str) -> Callable[[BuiltInMask], BuiltInMask]:
    """Register a function ``(setup, grids) -> float64 [N, N], rad`` as the built-in mask ``name``."""

    def register(function: BuiltInMask) -> BuiltInMask:
        _BUILT_IN[name] = function
        return function

    return register


def built_in_names() -> tuple[str, ...]:
    """Return the names of the built-in masks."""
    return tuple(sorted(_BUILT_IN))


@built_in_mask("flat")
def _flat(setup: Setup, grids: PupilGrids) -> np.ndarray:
    return np.zeros(grids.support.shape)


@built_in_mask("zernike")
def _zernike(setup: Setup, grids: PupilGrids) -> np.ndarray:
    if not setup.mask.zernike_rad:
        raise InputError("mask.zernike_rad is empty but mask.source is 'zernike'; give {Noll index: radians}")
    return np.zeros(grids.support.shape)


@built_in_mask("astigmatic")
def _astigmatic(setup: Setup, grids: PupilGrids) -> np.ndarray:
    return setup.mask.astigmatism_rad * zernike(6, grids.pupil_x[None, :], grids.pupil_x[:, None])


@built_in_mask("tetrapod")
def _tetrapod(setup: Setup, grids: PupilGrids) -> np.ndarray:
    coefficients, wavelength_um = _designed("tetrapod")
    # The same optical path at any wavelength, as of a printed mask.
    scale = wavelength_um / setup.optics.wavelength_um
    return scale * zernike_phase(coefficients, grids.pupil_x[None, :], grids.pupil_x[:, None])


@cache
def _designed(name: str) -> tuple[dict[int, float], float]:
    """Return the coefficients (Noll index → rad rms) and wavelength (µm) of a record of ``ds3d design-mask``."""
    file = resources.files("ds3d_tf.optics") / "designs" / f"{name}.yaml"
    record = parse_yaml(file.read_text(encoding="utf-8"), name)
    return record["zernike_rad"], record["design_wavelength_um"]


def load_mask(setup: Setup, *, allow_substitute: bool = True) -> np.ndarray:
    """Return the phase mask that a setup names.

    A mask that the setup carries in memory comes first. A file is looked for beside the setup file, in the current
    folder, in ``$DS3D_MASKS`` and in ``$DS3D_DATA/masks``, in this order; an absolute path is taken as it is. The
    Zernike terms of the setup are added to built-in masks, which are 0 outside the objective's pupil.

    A preset whose mask file is not found may name a built-in mask instead (``setup.mask_substitute``), which is
    noted once on stderr.

    Args:
        setup: the ``Setup``.
        allow_substitute: False where no other mask will do, such as for published weights.

    Returns:
        float64 ``[N, N]`` (rows along y, columns along x), rad.

    Raises InputError if the mask is unknown, not found, unreadable, or does not fit ``mask.size_px``.
    """
    source, size = setup.mask.source, setup.mask.size_px
    if setup.mask_rad is not None:
        return _fitting(check_mask(setup.mask_rad, source), source, size)
    if source not in _BUILT_IN:
        base_folder = setup.base_folder
        substitute = setup.mask_substitute if allow_substitute else None
        if substitute and _found(source, base_folder) is None:
            _note_substitute(source, substitute)
            return load_mask(setup.replace({"mask.source": substitute}))
        path = find_mask_file(source, base_folder)
        if setup.mask.zernike_rad:
            raise InputError(
                f"mask.zernike_rad is for built-in masks, but mask.source is the file {source}; remove one of them"
            )
        return _fitting(read_mask(path), path, size)
    grids = pupil_grids(setup.optics, size, setup.volume.focus_um)
    mask_rad = _BUILT_IN[source](setup, grids)
    mask_rad = mask_rad + zernike_phase(setup.mask.zernike_rad, grids.pupil_x[None, :], grids.pupil_x[:, None])
    return np.where(grids.pupil_radius < 1, mask_rad, 0.0)


def find_mask_file(source: str, base_folder: str | Path | None = None) -> Path:
    """Return the path of a mask file named by ``source`` (looked for as :func:`load_mask` says).

    Raises InputError, naming the folders searched, if there is none.
    """
    if Path(source).suffix.lower() not in MASK_SUFFIXES:
        close = difflib.get_close_matches(source, built_in_names(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"built in are {', '.join(built_in_names())}"
        raise InputError(f"mask.source: {source!r} is neither a built-in mask nor a .mat, .npy or .tif file; {hint}")
    path = _found(source, base_folder)
    if path is not None:
        return path
    folders = ", ".join(str(folder.absolute()) for folder in _search_folders(base_folder))
    where = source if Path(source).expanduser().is_absolute() else f"{source} (looked in {folders})"
    raise InputError(f"mask file not found: {where}; give its path in mask.source or its folder in $DS3D_MASKS")


def _found(source: str, base_folder: str | Path | None) -> Path | None:
    path = Path(source).expanduser()
    folders = [Path()] if path.is_absolute() else _search_folders(base_folder)
    return next((folder / path for folder in folders if (folder / path).is_file()), None)


@cache
def _note_substitute(source: str, substitute: str) -> None:
    _LOG.warning(
        "note: mask file %s not found (set $DS3D_MASKS to its folder); using the built-in mask %s instead",
        source,
        substitute,
    )


def _search_folders(base_folder: str | Path | None) -> list[Path]:
    folders = [Path(base_folder)] if base_folder is not None else []
    folders.append(Path())
    if os.environ.get("DS3D_MASKS"):
        folders.append(Path(os.environ["DS3D_MASKS"]))
    if os.environ.get("DS3D_DATA"):
        folders.append(Path(os.environ["DS3D_DATA"]) / "masks")
    return folders


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask file: MATLAB (its one variable), NumPy or TIFF.

    Args:
        path: a .mat, .npy, .tif or .tiff file.

    Returns:
        float64 ``[N, N]``, N odd (rows along y, columns along x), rad.

    Raises InputError if the file cannot be read, or holds no square, odd-sized, finite, real array.
    """
    path = Path(path)
    try:
        array = _READERS[path.suffix.lower()](path)
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"mask {path}: expected a .mat, .npy or .tif file") from error
    except Exception as error:  # each reader has its own kinds of error for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"mask {path} cannot be read as {path.suffix}: {reason}") from error
    return check_mask(array, path)


def _fitting(mask_rad: np.ndarray, name: str | Path, size_px: int) -> np.ndarray:
    if mask_rad.shape[0] != size_px:
        raise InputError(
            f"mask {name} is {mask_rad.shape[0]}×{mask_rad.shape[1]} but mask.size_px is {size_px}; "
            f"set mask.size_px to {mask_rad.shape[0]} or use another mask"
        )
    return mask_rad


def check_mask(array: np.ndarray, path: str | Path) -> np.ndarray:
    """Return a phase mask as float64 ``[N, N]`` (rows along y, columns along x), rad.

    Args:
        array: real numbers ``[N, N]``, rad.
        path: its name in the error.

    Raises InputError if it is not square, odd-sized and finite.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise InputError(f"mask {path}: expected real numbers (phase in radians), got dtype {array.dtype}")
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        shape = "×".join(map(str, array.shape)) or "a single number"
        raise InputError(f"mask {path}: expected a square array, got {shape}")
    if array.shape[0] % 2 == 0 or array.shape[0] < 3:
        raise InputError(
            f"mask {path}: expected an odd number of pixels a side (a centre pixel on the optical axis), "
            f"got {array.shape[0]}; pad or crop one row and one column"
        )
    if not np.isfinite(array).all():
        raise InputError(f"mask {path}: {np.count_nonzero(~np.isfinite(array))} pixels are NaN or infinite")
    return array.astype(np.float64)


def _read_mat(path: Path) -> np.ndarray:
    from scipy.io import loadmat, whosmat

    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"mask {path}: {path.stat().st_size / 1e9:.3g} GB, too large for a mask")
    for name, shape, _ in whosmat(path):
        check_plane(shape, 8, f"mask {path}: {name}")
    variables = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    if len(variables) != 1:
        found = ", ".join(sorted(variables)) or "none"
        raise InputError(f"mask {path}: expected one variable, got {len(variables)} ({found})")
    array: np.ndarray = next(iter(variables.values()))
    return array


def _read_npy(path: Path) -> np.ndarray:
    return read_npy(path, f"mask {path}")


def _read_tif(path: Path) -> np.ndarray:
    return read_tiff_plane(path, f"mask {path}")


_READERS = {".mat": _read_mat, ".npy": _read_npy, ".tif": _read_tif, ".tiff": _read_tif}
