"""The pixel network's loss against its formula, written emitter by emitter and pixel by pixel in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from ds3d_tf.model import EmitterLoss, PixelJaccard
from ds3d_tf.simulation.pixel_grid import PixelGrid

GRID = PixelGrid(pixel_um=0.1, z_min_um=0.5, z_max_um=2.5, photon_scale=5000.0, background_scale=20.0)
SHAPE = (11, 9)


def example(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Emitters [B, E, 6] with padding, one beyond the frame, two in one pixel, one without background; maps."""
    rng = np.random.default_rng(seed)
    emitters = rng.uniform([-0.4, -0.5, 0.5, 1, 1000, 5], [0.4, 0.5, 2.5, 1, 5000, 20], size=(3, 5, 6))
    emitters[0, 3:] = 0  # padding
    emitters[0, 1, :2] = emitters[0, 0, :2] + 0.001
    emitters[0, 2, 5] = -1  # its background is not known
    emitters[1, 0, 0] = 3.0  # beyond the frame
    emitters[1, 1, 3] = 0  # too faint for a label
    emitters[2, :, 3] = 0  # an empty frame
    maps = rng.uniform(0.05, 0.6, (3, *SHAPE, 10))
    maps[..., 1:5] = rng.normal(0, 0.7, (3, *SHAPE, 4))
    maps[..., 5:9] = rng.uniform(0.1, 1.5, (3, *SHAPE, 4))
    return emitters.astype(np.float32), maps.astype(np.float32)


def in_float64(emitters: np.ndarray, maps: np.ndarray) -> float:
    emitters, maps = emitters.astype(np.float64), maps.astype(np.float64)
    height, width = SHAPE
    loss, labelled = 0.0, 0
    for rows, frame in zip(emitters, maps, strict=True):
        p = frame[..., 0]
        own = []
        for x, y, z, weight, photons, light in rows:
            # Distances from the left and upper edge of the frame: x = 0 is the middle of pixel width // 2.
            right, down = x / 0.1 + width // 2 + 0.5, y / 0.1 + height // 2 + 0.5
            if weight and 0 <= right < width and 0 <= down < height:
                own.append((right, down, z - 1.5, photons / 5000, light / 20))
        n = len(own)
        labelled += n
        loss -= max(n, 1) * norm.logpdf(n, p.sum(), np.sqrt((p * (1 - p)).sum() + 0.1))
        held = np.zeros(SHAPE)
        for right, down, z, photons, light in own:
            row, column = int(down), int(right)
            held[row, column] = 1
            likelihood, squares = 0.0, []
            for r in range(max(row - 3, 0), min(row + 4, height)):
                for c in range(max(column - 3, 0), min(column + 4, width)):
                    values = frame[r, c]
                    told = np.array([c + 0.5 + values[1], r + 0.5 + values[2], values[3], values[4]])
                    density = norm.pdf([right, down, z, photons], told, values[5:9]).prod()
                    likelihood += values[0] / p.sum() * density
                    squares.append((values[9] - light) ** 2)
            loss -= np.log(likelihood)
            loss += np.mean(squares) if light >= 0 else 0.0
        loss -= np.where(held > 0, np.log(p), np.log(1 - p)).sum()
    return loss / labelled


def test_loss_is_the_formula():
    emitters, maps = example()
    assert float(EmitterLoss(GRID)(emitters, maps)) == pytest.approx(in_float64(emitters, maps), rel=1e-5)


def test_gradient_is_the_formulas():
    emitters, maps = example(1)
    variable = tf.Variable(maps)
    with tf.GradientTape() as tape:
        loss = EmitterLoss(GRID)(emitters, variable)
    gradient = tape.gradient(loss, variable).numpy()
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = rng.normal(size=maps.shape)
        step = 1e-5
        slope = in_float64(emitters, maps + step * direction) - in_float64(emitters, maps - step * direction)
        assert np.sum(gradient * direction) == pytest.approx(slope / (2 * step), rel=2e-4)


def test_an_empty_frame_asks_for_no_emitters():
    """Without emitters, less probability is always better."""
    emitters, maps = example()
    losses = []
    for factor in (1.0, 0.3, 0.01):
        fewer = maps[2:].copy()
        fewer[..., 0] *= factor
        losses.append(float(EmitterLoss(GRID)(emitters[2:], fewer)))
    assert losses[0] > losses[1] > losses[2]


def test_right_maps_are_the_best():
    """Of maps with one sure pixel, the likelihood is highest for the emitter's own position and honest σ."""
    emitters = np.array([[[0.02, -0.03, 1.2, 1, 2500, 10]]], np.float32)

    def loss(x=0.2, y=-0.3, z=-0.3, photons=0.5, sigma=0.1, light=0.5):
        maps = np.zeros((1, *SHAPE, 10), np.float32)
        maps[..., 0] = 1e-4
        maps[..., 5:9] = 1.0
        maps[..., 9] = light
        maps[0, 5, 4] = [0.999, x, y, z, photons, sigma, sigma, sigma, sigma, light]
        return float(EmitterLoss(GRID)(emitters, maps))

    best = loss()
    for change in ({"x": 0.3}, {"y": -0.1}, {"z": 0.0}, {"photons": 0.7}, {"sigma": 0.2}, {"light": 0.9}):
        assert loss(**change) > best
    # With an error of 0.1 in each of four coordinates, the right σ is 0.1.
    wrong = {"x": 0.3, "y": -0.2, "z": -0.2, "photons": 0.6}
    assert min((0.05, 0.07, 0.1, 0.14, 0.2), key=lambda sigma: loss(**wrong, sigma=sigma)) == 0.1


def test_jaccard_of_pixels():
    emitters, maps = example()
    maps[..., 0] = 0.0
    maps[0, :2, 0, 0] = 1.0
    metric = PixelJaccard(GRID)
    height, width = SHAPE
    # All labelled pixels of the first frame right, and two more elsewhere; all of the second frame missed.
    pixels = {(int(y / 0.1 + height // 2 + 0.5), int(x / 0.1 + width // 2 + 0.5)) for x, y in emitters[0, :3, :2]}
    for row, column in pixels:
        maps[0, row, column, 0] = 1.0
    outside = {(0, 0), (1, 0)} - pixels
    metric.update_state(emitters, maps)
    expected = [len(pixels) / (len(pixels) + len(outside)), 0.0, 1.0]
    assert float(metric.result()) == pytest.approx(np.mean(expected), rel=1e-6)


def test_positions_survive_the_grid():
    rng = np.random.default_rng(0)
    xyz_um = rng.uniform([-0.4, -0.5, 0.5], [0.4, 0.5, 2.5], (20, 3)).astype(np.float32)
    places = GRID.places(xyz_um, SHAPE)
    np.testing.assert_allclose(np.asarray(GRID.positions_um(places, SHAPE)), xyz_um, atol=1e-6)
    centre = np.asarray(GRID.places(np.array([[0.0, 0.0, 1.5]], np.float32), SHAPE))
    np.testing.assert_allclose(centre, [[4, 5, 0]], atol=1e-6)
