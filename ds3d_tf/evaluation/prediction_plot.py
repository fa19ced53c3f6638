"""The network's output for one frame, before peaks are turned into positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ds3d_tf.common.plotting import frame_extent_um, new_figure, save_figure
from ds3d_tf.setup import Setup
from ds3d_tf.setup.coordinates import table_origin_um


def plot_prediction(path: str | Path, volume: np.ndarray, truth_um: np.ndarray, setup: Setup) -> None:
    """Draw the largest confidence along z, and below it the largest along y, with the true emitters as rings.

    Args:
        path: PNG file to write.
        volume: float ``[4H, 4W, D]`` (row, column, depth), confidence; or ``[H, W, 10]``, maps of a pixel network.
        truth_um: float ``[E, 3]`` (x, y, z), µm, x = y = 0 at the centre of pixel (H // 2, W // 2).
        setup: the ``Setup`` of the volume.

    Raises InputError if the file cannot be written.
    """
    if setup.learning.network == "pixel":
        volume, per_pixel = _volume_of_maps(volume, setup), 1
    else:
        per_pixel = setup.volume.lateral_voxels
    height, width = volume.shape[0] // per_pixel, volume.shape[1] // per_pixel
    left, right, bottom, top = frame_extent_um((height, width), setup.optics.pixel_um)
    low, high = 0.0, setup.volume.z_max_um - setup.volume.z_min_um
    side = 5.0
    aspect = "equal" if high - low > 0.24 * (right - left) else "auto"
    panels = [side * height / width, max(1.2, side * (high - low) / (right - left))]
    figure = new_figure((side + 1.6, sum(panels) + 0.9), "compressed")
    across, along = figure.subplots(2, 1, height_ratios=panels, sharex=True)
    # The square root makes low confidences visible beside high ones.
    shown = {"cmap": "inferno", "vmin": 0.0, "vmax": np.sqrt(setup.learning.scaling_factor), "interpolation": "nearest"}
    volume = np.sqrt(np.maximum(np.asarray(volume, np.float32), 0))
    image = across.imshow(volume.max(axis=2), extent=(left, right, bottom, top), aspect="equal", **shown)
    along.imshow(
        volume.max(axis=0).T,
        extent=(left, right, low, high),
        aspect=aspect,
        origin="lower",
        **shown,
    )
    rings = {"s": 70, "facecolors": "none", "edgecolors": "#66e0ff", "linewidths": 1.2}
    truth = np.reshape(truth_um, (-1, 3)) + table_origin_um((height, width), setup)
    across.scatter(truth[:, 0], truth[:, 1], **rings)
    along.scatter(truth[:, 0], truth[:, 2], **rings)
    across.set(ylabel="y (µm)", title="largest confidence along z (above) and along y (below); rings: true emitters")
    across.title.set_fontsize(10)
    along.set(xlabel="x (µm)", ylabel="z (µm)", xlim=(left, right), ylim=(low, high))
    bar = figure.colorbar(image, ax=[across, along], fraction=0.04, pad=0.02, label="confidence")
    ticks = np.array([0, 0.01, 0.05, 0.2, 0.5, 1]) * setup.learning.scaling_factor
    bar.set_ticks(np.sqrt(ticks).tolist(), labels=[f"{tick:.3g}" for tick in ticks])
    save_figure(figure, path, dpi=110)


def _volume_of_maps(maps: np.ndarray, setup: Setup) -> np.ndarray:
    """Return a volume that holds each pixel's probability at the depth that the network tells there."""
    depths = setup.volume.depth_voxels
    depth = np.clip(np.floor((maps[..., 3] + 1) / 2 * depths), 0, depths - 1).astype(int)
    volume: np.ndarray = maps[..., :1] * (depth[..., None] == np.arange(depths))
    return volume
