"""The trained models that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from ds3d_tf.common.errors import InputError, argument

_FOLDER = "exported_models"


def shipped_models() -> dict[str, Path]:
    """Return name → folder of numbered versions of each model that comes with the package."""
    package = Path(__file__).resolve().parents[1]
    # Installed it lies inside the package, in a checkout beside it.
    for folder in (package / _FOLDER, package.parent / _FOLDER):
        if folder.is_dir():
            return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    return {}


def find_model(model: str | Path) -> Path:
    """Return the path of a model that is given by its path or, if it comes with the package, by its name.

    Raises InputError, naming the shipped models, for a bare name that is neither.
    """
    path = Path(model).expanduser()
    if path.exists() or len(path.parts) != 1 or path.suffix:
        return path
    shipped = shipped_models()
    if path.name in shipped:
        return shipped[path.name]
    known = f"shipped models: {', '.join(shipped)}" if shipped else "no models are shipped with this installation"
    raise InputError(f"{argument('model')} {model}: no such file or folder, and no shipped model of this name; {known}")
