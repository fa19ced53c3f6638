"""How a network localizes lone, bright emitters: enough to tell its voxel grid and its dilation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from ds3d_tf.simulation.stream import SimulatedFrames

TRIAL_FRAMES = 32
TRIAL_SEED = 2020
# Far enough for either grid, near enough that a wrong dilation finds little.
TRIAL_TOLERANCE_UM = 0.25


class LoneEmitters:
    """Lone, bright emitters in small frames, and how a network localizes them."""

    def __init__(self, setup: Setup, progress: Progress = no_progress) -> None:
        from ds3d_tf.simulation.stream import simulate_frames

        self._progress = progress
        # Small frames are as good for lone emitters, and quick; bright ones are found even in hard setups.
        size = {
            side: min(getattr(setup.volume, side), 2 * setup.volume.margin_px + 11)
            for side in ("height_px", "width_px")
        }
        signal = setup.signal
        photons = (
            sum(signal.uniform_range) / 2
            if signal.distribution == "uniform"
            else signal.gamma_shape * signal.gamma_scale
        )
        self.setup = setup.replace(
            {
                **{f"volume.{side}": pixels for side, pixels in size.items()},
                "volume.grid": "pixel_area",
                "signal.distribution": "uniform",
                "signal.uniform_range": (photons, 1.5 * photons),
                "signal.label_threshold": None,
            }
        )
        self.simulated: SimulatedFrames = simulate_frames(self.setup, TRIAL_FRAMES, TRIAL_SEED, emitter_count=1)

    def errors_um(self, model: Any, frames: int) -> np.ndarray:
        """Return the error of the localization nearest to each emitter found: float64 ``[K, 3]`` (x, y, z), µm."""
        import tensorflow as tf

        from ds3d_tf.localization.in_memory import network_localizer
        from ds3d_tf.simulation.normalization import normalize

        localize = network_localizer(model, self.setup)
        errors, batch = [], 4
        for start in range(0, frames, batch):
            raw = tf.constant(self.simulated.frames[start : start + batch])
            xyz_um, count = (value.numpy() for value in localize(normalize(raw, self.setup.normalization)))
            for found, number, truth in zip(xyz_um, count, self.simulated.xyz_um[start:], strict=False):
                error = found[:number] - truth[0]
                distance = np.linalg.norm(error, axis=1)
                if number and distance.min() < TRIAL_TOLERANCE_UM:
                    errors.append(error[distance.argmin()])
            self._progress(f"trying dilation {model.max_dilation}", min(start + batch, frames), frames)
        return np.array(errors, np.float64).reshape(-1, 3)
