"""Emitters of maps against the rule written pixel by pixel, and the same in tiles."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.localization.peaks.pixel_peaks import (
    details_by_name,
    details_of_names,
    emitters_of_maps,
    localize_maps_in_tiles,
    padded_emitters,
)
from ds3d_tf.simulation.pixel_grid import PixelGrid

GRID = PixelGrid(pixel_um=0.1, z_min_um=0.5, z_max_um=2.5, photon_scale=5000.0, background_scale=20.0)


def maps_of(shape: tuple[int, int], batch: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    maps = rng.uniform(0.01, 1, (batch, *shape, 10)).astype(np.float32)
    maps[..., 0] = rng.uniform(0, 1, (batch, *shape)) ** 6
    maps[0, 3, 4, 0] = maps[0, 3, 5, 0] = 0.5  # equal neighbours: one emitter
    maps[0, 8, 4, 0] = maps[0, 8, 5, 0] = 0.9  # two that are sure
    return maps


def by_hand(maps: np.ndarray, threshold: float) -> list[list[float]]:
    """x, y, z in µm, confidence, photons, background and σ of every emitter of one frame."""
    height, width = maps.shape[:2]
    p = np.pad(maps[..., 0].astype(np.float64), 1, constant_values=-1)
    found = []
    for row in range(height):
        for column in range(width):
            own = p[row + 1, column + 1]
            block = p[row : row + 3, column : column + 3]
            cross = [p[row, column + 1], p[row + 2, column + 1], p[row + 1, column], p[row + 1, column + 2]]
            total = min(own + sum(value for value in cross if value >= 0), 1)
            first = np.argwhere(block == block.max())[0]
            highest = own == block.max() and tuple(first) == (1, 1)
            if own > min(0.2, threshold) and (highest or own > 0.6) and total > threshold:
                values = maps[row, column].astype(np.float64)
                x, y = (column + values[1] - width // 2) * 0.1, (row + values[2] - height // 2) * 0.1
                light = [values[4] * 5000, values[9] * 20]
                sigma = [*values[5:7] * 0.1, values[7] * 1.0, values[8] * 5000]
                found.append([x, y, 1.5 + values[3] * 1.0, total, *light, *sigma])
    return found


@pytest.mark.parametrize("threshold", [0.2, 0.6, 0.95])
def test_the_rule(threshold):
    maps = maps_of((12, 15))
    pixels, values = emitters_of_maps(tf.constant(maps), threshold)
    xyz_um, confidence, count, details = padded_emitters(pixels, values, GRID, maps.shape[:3])
    for frame in range(2):
        expected = by_hand(maps[frame], threshold)
        assert int(count[frame]) == len(expected) > 0
        own = slice(len(expected))
        rows = np.column_stack([xyz_um[frame, own], confidence[frame, own], details[frame, own]])
        np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
        assert not np.any(xyz_um[frame, len(expected) :])


def test_tiles_give_what_the_whole_frame_gives():
    """With a 'network' that looks at a pixel's neighbours: a mean over 3×3, and one that counts the rows it sees."""
    maps = maps_of((30, 41), batch=3)
    frames = tf.constant(maps[..., 0])

    def predict(part: tf.Tensor) -> tf.Tensor:
        around = tf.nn.avg_pool2d(part[..., None], 3, 1, "SAME")
        return tf.concat([part[..., None], tf.repeat(around, 9, axis=-1)], axis=-1)

    zero = tf.constant(0)
    whole = localize_maps_in_tiles(frames, predict, (zero, zero), 3, tf.constant(0.6), GRID)
    assert int(tf.reduce_sum(whole[2])) > 20
    for tile, together in (((8, 8), 1), ((5, 17), 2), ((30, 12), 3)):
        tiled = localize_maps_in_tiles(
            frames, predict, tuple(map(tf.constant, tile)), 3, tf.constant(0.6), GRID, tf.constant(together)
        )
        for part, expected in zip(tiled, whole, strict=True):
            np.testing.assert_allclose(part.numpy(), expected.numpy(), rtol=1e-6)


def test_details_and_names():
    details = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    parts = details_by_name(details)
    assert parts["sigma_um"].shape == (2, 3, 3)
    np.testing.assert_array_equal(details_of_names(parts), details)


def test_nothing_found():
    pixels, values = emitters_of_maps(tf.zeros([2, 5, 6, 10]), 0.5)
    xyz_um, confidence, count, details = padded_emitters(pixels, values, GRID, (2, 5, 6))
    assert xyz_um.shape == (2, 0, 3)
    assert confidence.shape == (2, 0)
    assert details.shape == (2, 0, 6)
    assert count.numpy().tolist() == [0, 0]
