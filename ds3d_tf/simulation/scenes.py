"""Gallery scenes: molecules on known structures that blink, bleach and drift, as a recording sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ds3d_tf.setup import Setup
from ds3d_tf.simulation.structures import structure


@dataclass(frozen=True)
class Photophysics:
    """How the fluorophores of a scene behave.

    Attributes:
        on_frames: mean time in the bright state, frames.
        blinks: mean number of times that a fluorophore lights up before it bleaches.
        emitters_per_frame: mean number of bright fluorophores in a frame at the start of the recording.
        photon_rate: mean photons of a fluorophore that is bright for a whole frame; each has its own, drawn from a
            gamma distribution of ``rate_shape``.
        rate_shape: shape of that distribution; no unit.
        bleaching_frames: frames in which the number of fluorophores that still light up falls to 1/e; inf: never.
    """

    on_frames: float = 2.0
    blinks: float = 3.0
    emitters_per_frame: float = 5.0
    photon_rate: float = 5000.0
    rate_shape: float = 6.0
    bleaching_frames: float = np.inf


@dataclass(frozen=True, eq=False)
class Scene:
    """What happens in a recording: one row for each fluorophore and frame in which it is bright.

    Attributes:
        frame: int64 ``[N]``, from 1, ascending; no unit.
        xyz_um: float64 ``[N, 3]`` (x, y, z), µm, with drift; x = y = 0 is the centre of the frame's middle pixel.
        photons: float64 ``[N]``, photons in the frame.
        molecule: int64 ``[N]``: index of the fluorophore in ``points_um``; no unit.
        blink: int64 ``[N]``: number of the bright period, each its own; no unit.
        drift_um: float64 ``[F, 3]``, displacement of the sample in each frame, µm; 0 in the first.
        points_um: float64 ``[M, 3]``, where the fluorophores are without drift, µm.
    """

    frame: np.ndarray
    xyz_um: np.ndarray
    photons: np.ndarray
    molecule: np.ndarray
    blink: np.ndarray
    drift_um: np.ndarray
    points_um: np.ndarray


def simulate_scene(
    name: str,
    setup: Setup,
    frames: int,
    seed: int,
    photophysics: Photophysics | None = None,
    drift_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
    """Return the molecules of a gallery recording.

    Args:
        name: "microtubules", "pores", "spirals" or a CSV file of points.
        setup: frame size, margin, pixel and depth range.
        frames: number of frames.
        seed: seed of structure, blinking and drift.
        photophysics: how the fluorophores blink and bleach.
        drift_nm: displacement from the first to the last frame in x, y and z, nm; on the way it wanders.

    Raises InputError for a structure that is not known or does not lie in the frames' volume.
    """
    photophysics = photophysics or Photophysics()
    of_structure, of_blinking, of_drift = np.random.default_rng(seed).spawn(3)
    low_um, high_um = scene_box_um(setup, drift_nm)
    points_um = structure(name, low_um, high_um, of_structure)
    drift_um = drift_curve_um(frames, np.asarray(drift_nm) / 1000, of_drift)
    frame, molecule, blink, share = _bright_frames(len(points_um), frames, photophysics, of_blinking)
    shape = photophysics.rate_shape
    rate = of_blinking.gamma(shape, photophysics.photon_rate / shape, len(points_um))
    order = np.lexsort((molecule, frame))
    frame, molecule, blink, share = frame[order], molecule[order], blink[order], share[order]
    return Scene(
        frame=frame + 1,
        xyz_um=points_um[molecule] + drift_um[frame],
        photons=rate[molecule] * share,
        molecule=molecule,
        blink=blink,
        drift_um=drift_um,
        points_um=points_um,
    )


def scene_box_um(setup: Setup, drift_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper corner of the box in which a structure stays in view in spite of its drift.

    Args:
        setup: frame size, margin, pixel and depth range.
        drift_nm: displacement from the first to the last frame in x, y and z, nm.

    Returns:
        Two float64 ``[3]`` (x, y, z), µm.
    """
    volume, pixel = setup.volume, setup.optics.pixel_um
    room = np.abs(drift_nm) / 1000 * 1.15
    half = np.array([volume.width_px, volume.height_px]) // 2
    last = np.array([volume.width_px, volume.height_px]) - volume.margin_px - 1
    low = np.array([*((volume.margin_px - half) * pixel), volume.z_min_um])
    high = np.array([*((last - half) * pixel), volume.z_max_um])
    return low + room, high - room


def drift_curve_um(frames: int, total_um: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth drift: its trend, slower at the end, and slow waves of a tenth of it.

    Args:
        frames: F, number of frames.
        total_um: float ``[3]`` (x, y, z), displacement of the last frame, µm.
        rng: source of the random numbers.

    Returns:
        float64 ``[F, 3]``, µm; 0 in the first frame.
    """
    time = np.linspace(0, 1, frames)[:, None]
    bend = rng.uniform(0.5, 1.5, 3)
    trend = (1 - np.exp(-bend * time)) / (1 - np.exp(-bend))
    waves = np.zeros((frames, 3))
    for cycles in (1, 2, 3):
        waves += rng.normal(0, 0.1 / cycles, 3) * np.sin(2 * np.pi * cycles * time + rng.uniform(0, 2 * np.pi, 3))
    waves -= waves[:1] + (waves[-1:] - waves[:1]) * time
    return np.asarray(total_um * (trend + waves))


def _bright_frames(
    fluorophores: int, frames: int, how: Photophysics, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return frame (from 0), fluorophore, bright period, and the share of the frame that it is bright, of each row.

    The bright periods of a fluorophore begin at random (a Poisson process), thinned by bleaching.
    """
    starts_per_frame = how.emitters_per_frame / how.on_frames / fluorophores
    lifetime = min(how.bleaching_frames, how.blinks / starts_per_frame)
    count = rng.poisson(starts_per_frame * frames, fluorophores)
    molecule = np.repeat(np.arange(fluorophores), count)
    begin = rng.uniform(0, frames, len(molecule))
    bleached = rng.exponential(lifetime, fluorophores) if np.isfinite(lifetime) else np.full(fluorophores, np.inf)
    alive = begin < bleached[molecule]
    molecule, begin = molecule[alive], begin[alive]
    end = np.minimum(begin + rng.exponential(how.on_frames, len(begin)), frames)
    first, last = np.floor(begin).astype(np.int64), np.minimum(np.ceil(end).astype(np.int64), frames) - 1
    length = np.maximum(last - first + 1, 1)
    blink = np.repeat(np.arange(len(begin)), length)
    frame = first[blink] + np.arange(len(blink)) - np.repeat(np.cumsum(length) - length, length)
    share = np.minimum(end[blink], frame + 1) - np.maximum(begin[blink], frame)
    seen = share > 0
    return frame[seen], molecule[blink[seen]], blink[seen], share[seen]
