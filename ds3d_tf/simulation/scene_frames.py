"""Frames of a gallery scene, and the tables of what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from ds3d_tf.setup import Setup
from ds3d_tf.simulation.emitters import Emitters
from ds3d_tf.simulation.scenes import Photophysics, Scene
from ds3d_tf.simulation.seeds import derived_seed, split_seed
from ds3d_tf.simulation.stream import GROUP_FRAMES, Renderer, SimulatedFrames, default_renderer, frames_of

DRIFT, STRUCTURE, MOLECULES = "drift.csv", "structure.csv", "molecules.csv"
SCENE_FILES = (DRIFT, STRUCTURE, MOLECULES)


def photophysics_of(
    setup: Setup, emitter_count: int | None, on_frames: float, blinks: float, bleaching_frames: float | None
) -> Photophysics:
    """Return how fluorophores blink, with number and photons as the setup has them."""
    signal = setup.signal
    if signal.distribution == "gamma":
        mean, shape = signal.gamma_shape * signal.gamma_scale, signal.gamma_shape
    else:
        low, high = signal.uniform_range
        mean = (low + high) / 2
        shape = 12 * mean**2 / max(high - low, 1e-6 * mean) ** 2  # of the same variance
    return Photophysics(
        on_frames=on_frames,
        blinks=blinks,
        emitters_per_frame=emitter_count or sum(setup.emitters.count_range) / 2,
        photon_rate=mean,
        rate_shape=shape,
        bleaching_frames=bleaching_frames or np.inf,
    )


def scene_groups(
    setup: Setup, scene: Scene, seed: int, *, renderer: Renderer | None = None
) -> Iterator[SimulatedFrames]:
    """Yield the frames of a scene with raw counts, a few at a time, in order.

    Args:
        setup: optics, background, blur and camera.
        scene: what is in them.
        seed: seed of blur and noise.
        renderer: as in :func:`ds3d_tf.simulation.stream.training_dataset`.

    Raises InputError if the mask cannot be loaded.
    """
    renderer = default_renderer(setup) if renderer is None else renderer
    stream_seed = split_seed(seed, "simulation")
    count = len(scene.drift_um)
    ends = np.searchsorted(scene.frame, np.arange(1, count + 2))
    most = max(int(np.diff(ends).max(initial=0)), 1)
    low, high = setup.blur.sigma_range_px

    @tf.function(autograph=False)
    def group_of(group: tf.Tensor, xyz_um: tf.Tensor, photons: tf.Tensor) -> tf.Tensor:
        group_seed = derived_seed(stream_seed, group)
        blur = low + (high - low) * tf.random.stateless_uniform(photons.shape, derived_seed(group_seed, 1))
        emitters = Emitters(xyz_um, photons, blur, photons > 0)
        return frames_of(setup, renderer, emitters, group_seed)

    threshold = (setup.signal.label_threshold if setup.signal.distribution == "gamma" else None) or 0.0
    for start in range(0, count, GROUP_FRAMES):
        xyz_um = np.zeros((GROUP_FRAMES, most, 3), np.float32)
        photons = np.zeros((GROUP_FRAMES, most), np.float32)
        here = min(GROUP_FRAMES, count - start)
        for index in range(here):
            rows = slice(ends[start + index], ends[start + index + 1])
            size = rows.stop - rows.start
            xyz_um[index, :size], photons[index, :size] = scene.xyz_um[rows], scene.photons[rows]
        frames = group_of(tf.constant(start // GROUP_FRAMES, tf.int64), tf.constant(xyz_um), tf.constant(photons))
        yield SimulatedFrames(frames.numpy()[:here], xyz_um[:here], photons[:here], photons[:here] > threshold)


def write_scene(folder: Path, setup: Setup, scene: Scene) -> None:
    """Write what is true of a scene besides the frames.

    ``drift.csv`` (frame, x, y, z in nm), ``structure.csv`` (every fluorophore, µm) and ``molecules.csv``: every
    molecule of every frame where it would be without drift, as a table of `ds3d localize` has it.
    """
    nm = ["x [nm]", "y [nm]", "z [nm]"]
    drift = pd.DataFrame(1000 * scene.drift_um, columns=nm)
    drift.insert(0, "frame", np.arange(1, len(drift) + 1))
    volume = setup.volume
    origin = np.array([volume.width_px // 2 + 0.5, volume.height_px // 2 + 0.5, 0]) * setup.optics.pixel_um
    still = 1000 * (scene.points_um[scene.molecule] + origin - (0, 0, volume.z_min_um))
    molecules = pd.DataFrame(still, columns=nm)
    molecules.insert(0, "frame", scene.frame)
    molecules["intensity [photon]"] = scene.photons
    molecules["fluorophore"], molecules["blink"] = scene.molecule + 1, scene.blink + 1
    structure = pd.DataFrame(scene.points_um, columns=["x_um", "y_um", "z_um"])
    for name, table in ((DRIFT, drift), (STRUCTURE, structure), (MOLECULES, molecules)):
        table.to_csv(folder / name, index=False, float_format="%.5g" if name == STRUCTURE else "%.3f")
