"""Read noise and differentiable shot noise by their moments; normalization by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.setup import load_setup
from ds3d_tf.simulation import camera
from ds3d_tf.simulation.normalization import normalize
from ds3d_tf.simulation.random_numbers import standard_normal
from ds3d_tf.simulation.seeds import split_seed

SEED = split_seed(11, "training")
FIVE_SIGMA = 5.0


def test_differentiable_shot_noise():
    expected = tf.fill([4, 200, 250], 50.0)
    normal = standard_normal([4, 200, 250], SEED)
    with tf.GradientTape() as tape:
        tape.watch(expected)
        counts = camera.differentiable_shot_noise(expected, normal)
    n = 200_000
    assert abs(counts.numpy().mean() - 50) < FIVE_SIGMA * np.sqrt(50 / n)
    assert abs(counts.numpy().var() - 50) < FIVE_SIGMA * 50 * np.sqrt(2 / n)
    slope = tape.gradient(counts, expected).numpy()
    np.testing.assert_allclose(slope, 1 + (counts.numpy() - 50) / 100, rtol=1e-4)
    dark = tf.zeros([1, 3, 3])
    with tf.GradientTape() as tape:
        tape.watch(dark)
        counts = camera.differentiable_shot_noise(dark, normal[:1, :3, :3])
    assert np.isfinite(tape.gradient(counts, dark)).all()


def test_read_noise_none_changes_nothing():
    setup = load_setup("demo3")
    frames = tf.random.stateless_uniform([2, 9, 9], [1, 2])
    assert camera.read_noise(setup.read_noise, setup.background, frames, SEED) is frames


def test_uniform_read_noise_is_drawn_for_each_frame():
    setup = load_setup("demo1", ["read_noise.kind=uniform", "read_noise.baseline_range=[100, 140]"])
    frames = camera.read_noise(setup.read_noise, setup.background, tf.fill([200, 50, 60], 7.0), SEED).numpy()
    means, sigmas = frames.mean(axis=(1, 2)) - 7, frames.std(axis=(1, 2))
    error = 12 / np.sqrt(3000)
    assert 100 - FIVE_SIGMA * error < means.min() < 103
    assert 137 < means.max() < 140 + FIVE_SIGMA * error
    assert 8 * (1 - FIVE_SIGMA / np.sqrt(6000)) < sigmas.min() < 8.3
    assert 11.7 < sigmas.max() < 12 * (1 + FIVE_SIGMA / np.sqrt(6000))


def test_super_gaussian_read_noise_varies_over_the_frame():
    setup = load_setup("demo1", ["read_noise.sigma_range=[1, 30]", "read_noise.baseline_range=[500, 500]"])
    frames = camera.read_noise(setup.read_noise, setup.background, tf.zeros([500, 61, 61]), SEED).numpy()
    sigma = frames.std(axis=0)
    assert sigma[28:33, 28:33].mean() > 25
    assert sigma[0, 0] < 8
    assert frames.mean() == pytest.approx(500, abs=FIVE_SIGMA * 30 / np.sqrt(frames.size))


def test_counts_are_clipped_at_zero():
    setup = load_setup("demo1", ["read_noise.kind=uniform", "read_noise.baseline_range=[0, 0]"])
    frames = camera.read_noise(setup.read_noise, setup.background, tf.zeros([1, 50, 50]), SEED).numpy()
    assert frames.min() == 0
    assert 0.4 < (frames == 0).mean() < 0.6


def test_normalization():
    frames = tf.constant([[[1.0, 3.0], [5.0, 2.0]], [[4.0, 4.0], [4.0, 4.0]]])
    stretched = normalize(frames, load_setup("demo3").normalization)
    np.testing.assert_allclose(stretched, [[[0, 0.5], [1, 0.25]], [[0, 0], [0, 0]]])
    section = load_setup("demo1", ["normalization.subtract=1.0"]).normalization
    np.testing.assert_allclose(normalize(frames, section), (frames.numpy() - 1) / 250, rtol=1e-6)
