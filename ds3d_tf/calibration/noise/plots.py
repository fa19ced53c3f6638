"""Figures of a noise estimate: where it looked, and a simulated frame beside a real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import gamma

from ds3d_tf.calibration.noise.comparison import radial_power
from ds3d_tf.calibration.noise.noise_estimate import NoiseEstimate
from ds3d_tf.calibration.noise.recording_tiles import Tile
from ds3d_tf.calibration.noise.signal_estimate import SignalEstimate, inside
from ds3d_tf.calibration.noise.signal_fit import MEASUREMENT_ERROR
from ds3d_tf.setup.camera import Camera
from ds3d_tf.simulation.photon_transfer import PhotonTransfer

SHOWN_TILES = 4


def draw_where(
    path: Path,
    tiles: Sequence[Tile],
    used_pixels: Callable[[Tile], np.ndarray],
    noise: NoiseEstimate,
    signal: SignalEstimate | None,
    search: Any,
) -> None:
    """Draw where the estimate looked, as a PNG: free pixels, lone emitters, baselines, σ, photons and their law.

    Args:
        path: PNG to write.
        tiles: of the recording.
        used_pixels: returns the pixels of a tile used for the noise, bool ``[H, W]``.
        noise: the estimate.
        signal: the estimate, or None where there was no setup.
        search: the ``EmitterSearch`` that was used, or None.
    """
    from matplotlib.figure import Figure

    places = _most_telling(signal, search) if signal else []
    shown = [signal.searched[place] for place in places] if signal else _spread(len(tiles), SHOWN_TILES)
    figure = Figure(figsize=(15, 8), layout="constrained")
    upper, lower = figure.subfigures(2, 1).flat  # type: ignore[union-attr]
    upper_panels = upper.subplots(1, len(shown), squeeze=False)[0]
    low, high = np.percentile(np.stack([tiles[index].pixels for index in shown]), [1, 99.7])
    for number, (panel, index) in enumerate(zip(upper_panels, shown, strict=True)):
        tile = tiles[index]
        # Ticks count the recording's own rows and columns.
        (rows, columns), corner = tile.pixels.shape, (tile.row - 0.5, tile.column - 0.5)
        extent = (corner[1], corner[1] + columns, corner[0] + rows, corner[0])
        grey = panel.imshow(
            tile.pixels, cmap="gray", vmin=low, vmax=max(high, low + 1), interpolation="nearest", extent=extent
        )
        used = np.where(used_pixels(tile), 1.0, np.nan)
        panel.imshow(used, cmap="winter", vmin=0, vmax=2, alpha=0.25, extent=extent)
        if signal:
            emitters = signal.found[places[number]]
            bright = _used(emitters, signal, search)
            for chosen, colour in ((bright, "orange"), (~bright, "0.7")):
                rows, columns = emitters.places[chosen].T
                panel.scatter(
                    columns + tile.column, rows + tile.row, s=90, facecolors="none", edgecolors=colour, linewidths=1.4
                )
        panel.set_title(f"frame {tile.frame + 1}", fontsize=9)
        panel.set_xlabel("column (pixel)")
    upper_panels[0].set_ylabel("row (pixel)")
    upper.colorbar(grey, ax=upper_panels.tolist(), label="counts (all alike)", shrink=0.8)
    upper.suptitle(
        "blue: pixels used for the noise"
        + ("; orange rings: emitters used for the signal, grey: others" * bool(signal))
    )
    panels = lower.subplots(1, 3)
    panels[0].hist(noise.baselines, 30, color="C0")
    panels[0].set(xlabel="baseline of a tile (counts)", ylabel="tiles", title=f"baseline {noise.baseline:.2f} counts")
    for edge in noise.baseline_range:
        panels[0].axvline(edge, color="0.3", linestyle="--")
    if min(noise.block_sigma.shape) > 1:
        image = panels[1].imshow(noise.block_sigma, cmap="viridis")
        lower.colorbar(image, ax=panels[1], label="σ (counts)")
        panels[1].set(xlabel="column (blocks of 16 pixels)", ylabel="row (blocks of 16 pixels)")
    else:
        panels[1].hist(noise.sigmas, 30, color="C2")
        panels[1].set(xlabel="σ of a tile (counts)", ylabel="tiles")
    panels[1].set_title(f"σ {noise.sigma:.2f} counts ({'that of light' if noise.is_light else 'read noise'})")
    if signal:
        _draw_photons(panels[2], signal)
    else:
        panels[2].set_axis_off()
        panels[2].text(0.5, 0.5, "signal: needs a setup", ha="center", va="center")
    figure.savefig(path, format="png", dpi=100)


def draw_photon_transfer(path: Path, transfer: PhotonTransfer, camera: Camera | None) -> None:
    """Draw the variance of the pixels without emitters against their mean, and the line through it, as a PNG.

    Args:
        path: PNG to write.
        transfer: the points and the line.
        camera: the camera of the sections, or None where counts are taken as photons.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    panel = figure.subplots()
    mean, variance = transfer.mean, transfer.variance
    panel.scatter(mean, variance, s=4, color="0.75", label=f"{len(mean)} places without emitters")
    # The points are many: their means by tenths show where they lie.
    for part in np.array_split(np.argsort(mean), min(10, len(mean))):
        error = np.std(variance[part]) / np.sqrt(len(part))
        panel.errorbar(np.mean(mean[part]), np.mean(variance[part]), error, fmt="o", color="C0", markersize=4)
    ends = np.percentile(mean, [0.5, 99.5])
    line = f"variance = ({transfer.slope:.3g} ± {transfer.slope_error:.2g}) · mean + {transfer.intercept:.3g}"
    panel.plot(ends, transfer.slope * ends + transfer.intercept, color="C3", label=line)
    if camera is not None:
        panel.plot(ends, camera.typical().variance_counts2(camera.typical().photons(ends)), "k--", label="camera")
    low, high = np.percentile(variance, [0.5, 99.5])
    panel.set(xlim=ends, ylim=(0.8 * low, 1.1 * high), xlabel="mean (counts)", ylabel="variance (counts²)")
    panel.set_title("photon transfer" if transfer.is_light else "the variance does not rise with the mean")
    panel.legend(frameon=False, fontsize=8)
    panel.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=100)


def _draw_photons(panel: Any, signal: SignalEstimate) -> None:
    law, photons = signal.law, signal.photons
    panel.hist(photons, 30, color="0.7", density=True, label=f"{len(photons)} lone emitters")
    x = np.linspace(0, 1.1 * photons.max(), 400)
    density = gamma.pdf(x, law.gamma_shape, scale=law.gamma_scale) / gamma.sf(
        signal.faintest, law.gamma_shape, scale=law.gamma_scale
    )
    chosen = f"gamma, shape {law.gamma_shape:.2f}, scale {law.gamma_scale:.0f}"
    if law.distribution == "uniform":
        low, high = law.uniform_range
        error = MEASUREMENT_ERROR * law.mean
        density = (ndtr((x - low) / error) - ndtr((x - high) / error)) / (high - low)
        chosen = f"uniform, {low:.0f} to {high:.0f}"
    panel.plot(x, density, color="C3", label=chosen)
    panel.axvline(signal.faintest, color="0.3", linestyle=":", label=f"faintest found, {signal.faintest:.0f}")
    panel.set(
        xlabel="photons of an emitter",
        ylabel="density",
        yticks=[],
        title=f"signal: mean {law.mean:.0f} photons",
    )
    panel.legend(frameon=False, fontsize=8)


def draw_comparison(path: Path, real: Sequence[np.ndarray], simulated: Sequence[np.ndarray], name: str) -> None:
    """Draw a real and a simulated frame, the histograms of their counts and their power spectra, as a PNG.

    Args:
        path: PNG to write.
        real: frames, each float ``[H, W]``, counts; the first one is shown.
        simulated: frames, each float ``[H, W]``, counts; the first one is shown.
        name: of the real frame.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.4), layout="constrained")
    panels = figure.subplots(1, 4, width_ratios=[1, 1, 1.1, 1.1])
    everything = np.stack([*real])
    low, high = np.percentile(everything, [1, 99.9])
    for panel, frame, title in zip(panels, (real[0], simulated[0]), (f"real: {name}", "simulated"), strict=False):
        shown = panel.imshow(frame, cmap="gray", vmin=low, vmax=max(high, low + 1), interpolation="nearest")
        panel.set(xlabel="column (pixel)", title=title)
    panels[0].set_ylabel("row (pixel)")
    figure.colorbar(shown, ax=panels[:2].tolist(), label="counts", shrink=0.85)
    edges = _edges(min(0.0, float(low)), 1.6 * float(high))
    for frames, colour, title in ((real, "k", "real"), (simulated, "C1", "simulated")):
        panels[2].hist(
            np.stack(frames).ravel(), edges, histtype="step", density=True, color=colour, label=title, log=True
        )
        panels[3].loglog(*radial_power(frames), color=colour, label=title)
    panels[2].set(xlabel="counts", ylabel="density (1/count)", title="histogram")
    panels[3].set(xlabel="spatial frequency (1/pixel)", ylabel="power (counts²)", title="power spectrum")
    for panel in panels[2:]:
        panel.legend(frameon=False)
        panel.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=100)


def _used(emitters: Any, signal: SignalEstimate, search: Any) -> np.ndarray:
    """Return bool ``[K]``: emitters that the signal was estimated from."""
    used: np.ndarray = emitters.alone & (emitters.photons > signal.faintest) & inside(emitters, search)
    return used


def _most_telling(signal: SignalEstimate, search: Any) -> list[int]:
    """Return the places, in order, of the searched tiles with the most emitters that were used."""
    counts = [int(_used(found, signal, search).sum()) for found in signal.found]
    return sorted(np.argsort(counts, kind="stable")[::-1][:SHOWN_TILES].tolist())


def _edges(low: float, high: float) -> np.ndarray:
    """Return the edges of about 120 bins; where counts are whole numbers apart, each bin holds as many of them."""
    width = (high - low) / 120
    if width > 0.25:
        width = max(1.0, round(width))
    start = np.floor(low) - 0.5
    return np.arange(start, high + width, width)


def _spread(count: int, wanted: int) -> list[int]:
    return [int(i) for i in np.unique(np.linspace(0, count - 1, wanted).round())]
