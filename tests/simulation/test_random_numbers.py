"""Poisson and normal numbers by their laws, within stated sampling error."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from ds3d_tf.simulation.random_numbers import poisson, standard_normal
from ds3d_tf.simulation.seeds import derived_seed, split_seed

SEED = split_seed(11, "training")
FIVE_SIGMA = 5.0


@pytest.mark.parametrize("expected", [0.0, 0.05, 0.7, 3.0, 8.0, 9.5, 12.0, 40.0, 300.0, 20000.0])
def test_poisson_moments(expected):
    n = 200_000
    counts = poisson(tf.fill([2, 250, 400], expected), derived_seed(SEED, int(expected * 100))).numpy()
    assert np.array_equal(counts, np.round(counts))
    assert abs(counts.mean() - expected) <= FIVE_SIGMA * np.sqrt(expected / n)
    # Var(sample variance) = (μ4 - σ⁴) / n, and a Poisson law has μ4 = λ + 3 λ².
    assert abs(counts.var() - expected) <= FIVE_SIGMA * np.sqrt((expected + 2 * expected**2) / n) + 1e-9


@pytest.mark.parametrize("expected", [0.03, 0.3, 2.0, 6.03, 9.99, 10.0, 11.0, 75.0])
def test_poisson_law(expected):
    counts = poisson(tf.fill([1, 500, 800], expected), derived_seed(SEED, int(expected * 7))).numpy().ravel()
    law = scipy.stats.poisson(expected)
    low, high = int(law.ppf(1e-4)), int(law.ppf(1 - 1e-4))
    inner = np.arange(low + 1, high)
    probability = np.concatenate([[law.cdf(low)], law.pmf(inner), [law.sf(high - 1)]])
    seen = np.bincount(np.clip(counts, low, high).astype(int), minlength=high + 1)[low:]
    assert scipy.stats.chisquare(seen, probability / probability.sum() * counts.size).pvalue > 1e-3


def test_poisson_pixels_are_independent():
    counts = poisson(tf.fill([50, 60, 60], 5.0), SEED).numpy().astype(np.float64) - 5
    for axis in (0, 1, 2):
        pairs = counts * np.roll(counts, 1, axis)
        assert abs(pairs.mean()) < FIVE_SIGMA * 5 / np.sqrt(counts.size)


def test_poisson_means_may_differ_from_pixel_to_pixel():
    means = np.repeat(np.array([0.0, 0.5, 3.0, 9.0, 15.0, 200.0], np.float32), 20_000)
    counts = poisson(tf.constant(means), SEED).numpy()
    for mean in np.unique(means):
        assert abs(counts[means == mean].mean() - mean) <= FIVE_SIGMA * np.sqrt(mean / 20_000)


def test_very_bright_pixels():
    counts = poisson(tf.fill([40_000], 1e7), SEED).numpy().astype(np.float64)
    assert abs(counts.mean() - 1e7) < FIVE_SIGMA * np.sqrt(1e7 / 40_000)
    assert counts.std() == pytest.approx(np.sqrt(1e7), rel=FIVE_SIGMA / np.sqrt(2 * 40_000))


def test_normal_law():
    values = standard_normal([3, 111, 999], SEED).numpy()
    assert values.shape == (3, 111, 999)
    assert values.dtype == np.float32
    assert scipy.stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    first, second = np.array_split(values.ravel()[:-1], 2)
    for power in (1, 2):
        pair = (first**power - (power - 1)) * (second**power - (power - 1))
        assert abs(pair.mean()) < FIVE_SIGMA * power / np.sqrt(pair.size)
    assert standard_normal([0, 5], SEED).shape == (0, 5)
    assert standard_normal([1], SEED).shape == (1,)
