"""Known structures in space, with a fluorophore at every label: what gallery recordings are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ds3d_tf.common.errors import InputError, argument

# A microtubule with its antibodies, and the spacing of labels along it.
_TUBE_RADIUS_UM, _TUBE_LABEL_UM = 0.02, 0.012
_TUBE_STEP_UM, _TUBE_BEND_RAD = 0.05, 0.035
_TUBE_SPACING_UM = 0.75
# Nup96 in the nuclear pore: 8 corners in two rings (Thevathasan et al., Nature Methods 2019).
_PORE_DIAMETER_UM, _PORE_RINGS_UM, _PORE_LABELS, _PORE_SPACING_UM = 0.107, 0.05, 4, 0.28
_SPIRAL_RADIUS_UM, _SPIRAL_PITCH_UM, _SPIRAL_LABEL_UM, _SPIRAL_SPACING_UM = 0.35, 0.9, 0.008, 1.6
_LENGTHS = {"um": 1.0, "µm": 1.0, "nm": 1e-3}


def structure(name: str, low_um: np.ndarray, high_um: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the labels of a structure that fills a box.

    Args:
        name: "microtubules", "pores", "spirals", or a CSV file with the columns x_um, y_um, z_um or x [nm], y [nm],
            z [nm], which is taken as it is.
        low_um: float ``[3]`` (x, y, z), lower corner of the box, µm; x = y = 0 is the centre of the frame.
        high_um: float ``[3]``, upper corner, µm.
        rng: source of the random numbers.

    Returns:
        float64 ``[N, 3]`` (x, y, z), µm, all in the box.

    Raises InputError for an unknown name, a file that cannot be read, or one without a label in the box.
    """
    if name in STRUCTURES:
        points = STRUCTURES[name](low_um, high_um, rng)
    elif Path(name).suffix.lower() in (".csv", ".txt"):
        points = _from_file(Path(name))
    else:
        raise InputError(f"{argument('scene')} {name}: expected {', '.join(STRUCTURES)} or a .csv file of points")
    inside = ((points >= low_um) & (points <= high_um)).all(axis=1)
    if not inside.any():
        box = " ".join(f"{a:.3g}…{b:.3g}" for a, b in zip(low_um, high_um, strict=True))
        raise InputError(f"{argument('scene')} {name}: no point lies in the frames' volume (x, y, z: {box} µm)")
    return np.asarray(points[inside])


def _microtubules(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tubes that bend a little, from side to side of the box, each rising or falling through part of the depth."""
    size = high - low
    count = max(3, round(size[0] * size[1] / _TUBE_SPACING_UM / size[:2].mean()))
    steps = int(1.6 * np.hypot(*size[:2]) / _TUBE_STEP_UM)
    tubes = []
    for _ in range(count):
        angle = rng.uniform(0, 2 * np.pi)
        turns = np.cumsum(rng.normal(0, _TUBE_BEND_RAD, steps))
        heading = angle + turns - turns.mean()
        path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), axis=0) * _TUBE_STEP_UM
        middle = low[:2] + rng.uniform(0.15, 0.85, 2) * size[:2]
        path += middle - path[steps // 2]
        depth = rng.uniform(0.3, 0.7) + rng.uniform(-0.25, 0.25) * np.linspace(-1, 1, steps)
        z = low[2] + size[2] * (depth + 0.06 * np.sin(np.linspace(0, 6, steps) + rng.uniform(0, 6)))
        tubes.append(_on_tube(np.column_stack([path, z]), rng))
    return np.concatenate(tubes)


def _on_tube(path: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return labels at random places on a tube around a path."""
    count = int(len(path) * _TUBE_STEP_UM / _TUBE_LABEL_UM)
    place = rng.uniform(0, len(path) - 1, count)
    centre = np.stack([np.interp(place, np.arange(len(path)), path[:, axis]) for axis in range(3)], axis=1)
    along = np.gradient(path, axis=0)[np.rint(place).astype(int)]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    aside = np.cross(along, [0.0, 0.0, 1.0])
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    turn = rng.uniform(0, 2 * np.pi, count)[:, None]
    return np.asarray(centre + _TUBE_RADIUS_UM * (np.cos(turn) * aside + np.sin(turn) * np.cross(along, aside)))


def _pores(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nuclear pores on a curved envelope."""
    size = high - low
    grid = [np.arange(low[axis], high[axis], _PORE_SPACING_UM) for axis in (0, 1)]
    x, y = (one.ravel() for one in np.meshgrid(*grid))
    x = x + rng.uniform(-0.3, 0.3, len(x)) * _PORE_SPACING_UM
    y = y + rng.uniform(-0.3, 0.3, len(y)) * _PORE_SPACING_UM
    middle = (low + high) / 2
    far = ((x - middle[0]) / size[0]) ** 2 + ((y - middle[1]) / size[1]) ** 2
    z = low[2] + size[2] * (0.75 - far)
    corner = np.arange(8) * np.pi / 4
    ring = np.stack([np.cos(corner), np.sin(corner)], axis=1) * _PORE_DIAMETER_UM / 2
    pore = np.array([[*xy, z] for z in (-_PORE_RINGS_UM / 2, _PORE_RINGS_UM / 2) for xy in ring])
    pore = np.repeat(pore, _PORE_LABELS, axis=0)
    turned = []
    for centre, turn in zip(np.column_stack([x, y, z]), rng.uniform(0, np.pi / 4, len(x)), strict=True):
        spin = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        turned.append(centre + pore @ spin.T + rng.normal(0, 0.004, pore.shape))
    return np.concatenate(turned)


def _spirals(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spirals that climb through the depth."""
    edge = _SPIRAL_RADIUS_UM
    grid = [np.arange(low[axis] + edge, high[axis] - edge + 1e-9, _SPIRAL_SPACING_UM) for axis in (0, 1)]
    if not (len(grid[0]) and len(grid[1])):
        grid = [np.array([(low[axis] + high[axis]) / 2]) for axis in (0, 1)]
    spirals = []
    depth = high[2] - low[2]
    turns = depth / _SPIRAL_PITCH_UM
    length = np.hypot(depth, 2 * np.pi * edge * turns)
    for x, y in zip(*(one.ravel() for one in np.meshgrid(*grid)), strict=True):
        place = rng.uniform(0, 1, int(length / _SPIRAL_LABEL_UM))
        turn = rng.uniform(0, 2 * np.pi) + rng.choice([-1, 1]) * 2 * np.pi * turns * place
        z = low[2] + depth * place
        spirals.append(np.column_stack([x + edge * np.cos(turn), y + edge * np.sin(turn), z]))
    return np.concatenate(spirals)


def _from_file(path: Path) -> np.ndarray:
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except ValueError as error:
        raise InputError(f"{path}: not a CSV table ({str(error).strip().splitlines()[0]})") from error
    for pattern, unit in (("{}_um", "um"), ("{}_nm", "nm"), ("{} [nm]", "nm"), ("{} [um]", "um"), ("{} [µm]", "um")):
        names = [pattern.format(axis) for axis in "xyz"]
        if set(names) <= set(table.columns):
            points = table[names].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64) * _LENGTHS[unit]
            bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
            if len(bad):
                raise InputError(f"{path}: row {bad[0] + 2} holds something that is not a number")
            return points
    raise InputError(f"{path}: expected the columns x_um, y_um, z_um, or x [nm], y [nm], z [nm]")


STRUCTURES: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "microtubules": _microtubules,
    "pores": _pores,
    "spirals": _spirals,
}
