"""What an estimate of the noise is worth: remarks for a person, numbers for a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ds3d_tf.calibration.noise.noise_estimate import NoiseEstimate
from ds3d_tf.calibration.noise.signal_estimate import SignalEstimate
from ds3d_tf.setup import Setup

WELL_EXPLAINED = 0.65


def remarks(
    setup: Setup | None,
    noise: NoiseEstimate,
    signal: SignalEstimate | None,
    box: tuple[int, int, int, int] | None,
) -> list[str]:
    """Return a sentence for each thing a person should look at."""
    found = []
    if setup is None:
        found.append(
            "the signal was not estimated: emitters are told apart by their images, so give "
            "optics and mask with --setup"
        )
    if box is None and noise.free_share < 0.05:
        found.append(f"only {noise.free_share:.1%} of the pixels are free of emitters; check where.png, or use --box")
    if signal is not None and signal.explained < WELL_EXPLAINED:
        found.append(
            f"the setup's images explain {signal.explained:.0%} of the emitters' light only; check mask, optics, "
            "focus and depth range, or retrieve the mask from beads"
        )
    if signal is not None and signal.dense:
        found.append("all frames are dense, so that the signal may be too high by the light of neighbours")
    return found


def report(
    frames: str | Path,
    noise: NoiseEstimate,
    signal: SignalEstimate | None,
    crowd: float | None,
    box: tuple[int, int, int, int] | None,
) -> dict[str, Any]:
    """Return all numbers of an estimate, ready for YAML."""

    def pair(values: tuple[float, float]) -> list[float]:
        return [round(float(value), 3) for value in values]

    values: dict[str, Any] = {
        "recording": str(frames),
        "box": list(box) if box else None,
        "baseline": {"mean": round(noise.baseline, 3), "range": pair(noise.baseline_range)},
        "background_sigma": {
            "root_mean_square": round(noise.sigma, 3),
            "range": pair(noise.sigma_range),
            "varies_over_the_frame": noise.varies_in_space,
            "is_that_of_light": noise.is_light,
        },
        "emitter_free_share": round(noise.free_share, 4),
    }
    if signal is not None:
        values["signal"] = {
            "distribution": signal.law.distribution,
            "mean": round(float(signal.law.mean), 1),
            "gamma": {"shape": round(signal.law.gamma_shape, 3), "scale": round(signal.law.gamma_scale, 1)},
            "uniform_range": pair(signal.law.uniform_range),
            "lone_emitters": len(signal.photons),
            "tiles_searched": len(signal.searched),
            "explained_share_of_energy": round(signal.explained, 3),
            "faintest_found": round(signal.faintest, 1),
        }
        values["emitters_by_their_light_in_a_simulated_frames_area"] = round(crowd or 0.0, 1)
    return values
