"""The job of `ds3d estimate-noise`: from a recording to the noise and signal sections of a setup."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.outputs import check_folder, output_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import EstimateNoiseOptions
from ds3d_tf.setup import Setup

if TYPE_CHECKING:
    from ds3d_tf.calibration.noise.emitter_search import EmitterSearch
    from ds3d_tf.calibration.noise.noise_estimate import NoiseEstimate
    from ds3d_tf.calibration.noise.recording_tiles import Tile
    from ds3d_tf.calibration.noise.signal_estimate import SignalEstimate
    from ds3d_tf.localization.frames.source import FrameSource

SECTIONS, REPORT = "sections.yaml", "noise.yaml"
FEWEST_FRAMES = 5
SMALLEST_BOX_PX = 64
TILE_PX = 128
TYPICAL_TILES = 12


@dataclass(frozen=True)
class EstimatedNoise:
    """What was written and estimated; signal values are None where there was no setup.

    ``baseline`` and ``sigma`` are counts, ``signal_mean`` too, or photons where there is a camera, whose numbers
    ``camera`` says in a line. ``setup`` is the complete setup, or None; ``remarks`` holds a sentence for each thing a
    person should look at.
    """

    folder: Path
    baseline: float
    sigma: float
    signal_mean: float | None
    emitters_a_tile: float | None
    sections: dict[str, dict[str, Any]]
    setup: Setup | None
    remarks: list[str]
    camera: str | None = None

    def summary(self) -> str:
        """Return what a person wants to know about it, a few lines."""
        lines = [f"baseline {self.baseline:.2f} counts, background noise {self.sigma:.2f} counts"]
        if self.camera:
            lines.append(self.camera)
        if self.signal_mean is not None:
            unit = "photons" if self.camera or "camera" in self.sections else "counts"
            signal = self.sections["signal"]
            law = (
                f"gamma, shape {signal['gamma_shape']:g}, scale {signal['gamma_scale']:g}"
                if signal["distribution"] == "gamma"
                else "uniform, {:g} to {:g}".format(*signal["uniform_range"])
            )
            lines.append(
                f"signal {self.signal_mean:.0f} {unit} an emitter ({law}); "
                f"light of {self.emitters_a_tile:.1f} emitters in an area of a simulated frame, so "
                f"emitters.count_range is {self.sections['emitters']['count_range']}"
            )
        lines += [f"note: {remark}" for remark in self.remarks]
        lines.append(f"setup: {self.folder / ('setup.yaml' if self.setup else SECTIONS)}")
        return "\n".join(lines)


@takes_options(EstimateNoiseOptions)
def estimate_noise(
    frames: str | Path,
    out: str | Path,
    options: EstimateNoiseOptions,
    *,
    setup: Setup | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> EstimatedNoise:
    """Estimate baseline, background noise and, with a setup's images, the signal of a recording; write a folder.

    At most 200 frames, spread over the recording, are read.

    Args:
        frames: recording, in any form that ``open_frames`` reads.
        out: folder to write.
        options: see :class:`~ds3d_tf.options.EstimateNoiseOptions`; its fields may be given as keywords instead.
        setup: optics and mask of the recording; None: estimate the noise only.
        overwrite: whether to replace an earlier output.
        progress: told how many frames are read and searched.

    Raises InputError for a recording too short, too dense or without emitters to estimate from, a box outside the
    frames, or an output that exists.
    """
    out = check_folder(out, overwrite, "estimate-noise")
    seed = options.seed

    from ds3d_tf.calibration.noise import report as noise_report
    from ds3d_tf.calibration.noise.camera_estimate import estimate_camera, tiles_in_photons
    from ds3d_tf.calibration.noise.emitter_free import emitter_free
    from ds3d_tf.calibration.noise.estimated_sections import (
        as_changes,
        camera_section,
        emitters_section,
        light_sections,
        noise_sections,
        normalization_section,
        signal_section,
    )
    from ds3d_tf.calibration.noise.plots import draw_photon_transfer, draw_where
    from ds3d_tf.calibration.noise.recording_tiles import sample_tiles
    from ds3d_tf.localization.recording.opening import open_recording
    from ds3d_tf.setup.camera_files import load_camera

    source = open_recording(frames, options)
    if len(source) < FEWEST_FRAMES:
        raise InputError(f"{frames}: {len(source)} frames are too few to estimate from; give {FEWEST_FRAMES} or more")
    box = _checked_box(options.box, source)
    wanted = (setup.volume.height_px, setup.volume.width_px) if setup else (TILE_PX, TILE_PX)
    tiles = sample_tiles(source, wanted, seed, functools.partial(progress, "reading"))
    free_pixels: Callable[[np.ndarray], np.ndarray] = emitter_free
    noise_tiles = tiles
    if box is not None:
        noise_tiles = [_cut(source, index, box) for index in sorted({tile.frame for tile in tiles})]
        free_pixels = _all_pixels
    noise = _noise(noise_tiles, free_pixels, frames, box)
    sections = noise_sections(noise)
    given = load_camera(setup) if setup else None
    found = estimate_camera(noise, given, options.offset_counts, options.em_gain)
    counts, of_light = tiles, noise
    if found.camera is not None:
        tiles, noise_tiles = (tiles_in_photons(some, found.camera, source.shape) for some in (tiles, noise_tiles))
        of_light = _noise(noise_tiles, free_pixels, frames, box)
        sections = light_sections(of_light)
        if given is None:
            sections["camera"] = camera_section(found.camera)
    search = signal = None
    crowd: float | None = None
    if setup is not None:
        search, signal, crowd = _signal(tiles, setup, of_light, frames, progress)
        sections["signal"] = signal_section(signal.law)
        sections["emitters"] = emitters_section(crowd, setup.volume)
        if setup.normalization.kind == "factors":
            sections["normalization"] = normalization_section([tile.pixels for tile in counts])
    remarks = noise_report.remarks(setup, noise, signal, box)
    remarks += found.remarks(options.offset_counts is not None)
    with output_folder(out, overwrite, "estimate-noise") as folder:
        draw_where(folder / "where.png", counts, _shown_pixels(box), noise, signal, search)
        if found.transfer is not None:
            draw_photon_transfer(folder / "photon_transfer.png", found.transfer, found.camera)
        _write_yaml(folder / SECTIONS, sections)
        Setup.from_yaml((folder / SECTIONS).read_text("utf-8"), where=SECTIONS)
        report = {**noise_report.report(frames, noise, signal, crowd, box), **found.report()}
        complete = None
        if setup is not None:
            from ds3d_tf.optics.masks import load_mask

            changes = {"name": f"{setup.name}, estimated noise", **as_changes(sections)}
            complete = setup.with_mask(load_mask(setup)).replace(changes)
            complete.save(folder / "setup.yaml")
            report["comparison"] = _compare(folder / "comparison.png", counts, complete, crowd or 0.0, seed)
        _write_yaml(folder / REPORT, report)
    return EstimatedNoise(
        out,
        noise.baseline,
        noise.sigma,
        signal.law.mean if signal else None,
        crowd,
        sections,
        complete,
        remarks,
        found.summary(),
    )


def _checked_box(box: Sequence[int], source: FrameSource) -> tuple[int, int, int, int] | None:
    if not box:
        return None
    text = f"{argument('box')} {','.join(map(str, box))}"
    if len(box) != 4:
        raise InputError(f"{text}: expected four numbers, ROW,COLUMN,HEIGHT,WIDTH in pixels")
    row, column, height, width = box
    rows, columns = source.shape
    if min(row, column) < 0 or min(height, width) < 1 or row + height > rows or column + width > columns:
        raise InputError(f"{text}: reaches beyond the frames of {rows}×{columns} pixels")
    if height * width < SMALLEST_BOX_PX or width < 3:
        raise InputError(f"{text}: {height * width} pixels; give at least {SMALLEST_BOX_PX}, 3 or more in a row")
    return row, column, height, width


def _cut(source: FrameSource, index: int, box: tuple[int, int, int, int]) -> Tile:
    from ds3d_tf.calibration.noise.recording_tiles import Tile

    row, column, height, width = box
    return Tile(source.read(index)[row : row + height, column : column + width], index, row, column)


def _all_pixels(tile: np.ndarray) -> np.ndarray:
    return np.ones(tile.shape, bool)


def _shown_pixels(box: tuple[int, int, int, int] | None) -> Callable[[Tile], np.ndarray]:
    """Return a function that says which pixels of a tile the noise was taken from."""

    def used(tile: Tile) -> np.ndarray:
        from ds3d_tf.calibration.noise.emitter_free import emitter_free

        if box is None:
            return emitter_free(tile.pixels)
        row, column, height, width = box
        inside = np.zeros(tile.pixels.shape, bool)
        top, left = row - tile.row, column - tile.column
        inside[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
        return inside

    return used


def _noise(
    tiles: Sequence[Tile],
    free_pixels: Callable[[np.ndarray], np.ndarray],
    frames: str | Path,
    box: tuple[int, int, int, int] | None,
) -> NoiseEstimate:
    from ds3d_tf.calibration.noise.noise_estimate import estimate_noise as of_tiles

    noise = of_tiles([tile.pixels for tile in tiles], free_pixels)
    if noise is None:
        raise InputError(
            f"{frames}: no part of the frames is free of emitters; name one with {argument('box')} "
            "ROW,COLUMN,HEIGHT,WIDTH, or give a sparser recording"
        )
    if not noise.sigma > 0:
        place = "the box" if box else "the background"
        raise InputError(f"{frames}: {place} has no noise at all (every pixel holds {noise.baseline:g} counts)")
    return noise


def _signal(
    tiles: Sequence[Tile], setup: Setup, noise: NoiseEstimate, frames: str | Path, progress: Progress
) -> tuple[EmitterSearch, SignalEstimate, float]:
    """Return the search, the signal, and the number of emitters whose light a tile holds on average."""
    from ds3d_tf.calibration.noise.emitter_search import EmitterSearch
    from ds3d_tf.calibration.noise.signal_estimate import MOST_TILES, estimate_signal

    height, width = tiles[0].pixels.shape
    search = EmitterSearch(setup, (height, width))
    if min(height, width) <= search.half_size_px:
        raise InputError(
            f"{frames}: frames of {height}×{width} pixels are too small for the setup's images, which reach "
            f"{search.half_size_px} pixels from their centre; give larger frames"
        )
    watch = functools.partial(progress, "searching")
    pixels = [tile.pixels for tile in tiles]
    signal = estimate_signal(pixels, search, noise, lambda done: watch(done, MOST_TILES))
    if signal is None:
        raise InputError(
            f"{frames}: hardly any bright emitter stands alone; give a longer or sparser recording, and check that the "
            "setup's optics and mask are the recording's"
        )
    watch(len(signal.searched), len(signal.searched))
    light = float(np.mean([tile.mean(dtype=np.float64) for tile in pixels]) - noise.baseline) * pixels[0].size
    return search, signal, max(light / signal.law.mean, 0.0)


def _compare(path: Path, tiles: Sequence[Tile], setup: Setup, crowd: float, seed: int) -> dict[str, Any]:
    """Draw real and simulated frames side by side and return how alike they are."""
    from ds3d_tf.calibration.noise.comparison import likeness, simulated_like
    from ds3d_tf.calibration.noise.plots import draw_comparison

    typical = np.random.default_rng(seed).permutation(len(tiles))[:TYPICAL_TILES]
    real = [tiles[index].pixels for index in typical]
    shape = (real[0].shape[0], real[0].shape[1])
    simulated = list(simulated_like(setup, shape, max(round(crowd), 1), seed))
    draw_comparison(path, real, simulated, f"frame {tiles[typical[0]].frame + 1}")
    return likeness(real, simulated)


def _write_yaml(path: Path, values: dict[str, Any]) -> None:
    import yaml

    path.write_text(yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100), encoding="utf-8")
