"""Packages that come with an extra of this one."""

from __future__ import annotations

import importlib.util

from ds3d_tf.common.errors import InputError


def require(what: str, extra: str, *packages: str) -> None:
    """Raise InputError, naming the extra that installs them, if ``what`` lacks one of the ``packages``."""
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        raise InputError(f"{what}: {missing[0]} is not installed; pip install 'ds3d-tf[{extra}]'")


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package around a subpackage is missing
        return False
