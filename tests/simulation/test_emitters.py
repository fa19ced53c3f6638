"""Emitters follow the laws of the setup."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.emitters import most_emitters, sample_counts, sample_emitters
from ds3d_tf.simulation.seeds import derived_seed, split_seed

SEED = split_seed(7, "training")


def _draw(setup, frames=400, count=None):
    counts = tf.fill([frames], count) if count else sample_counts(setup, "training", frames, derived_seed(SEED, 0))
    return counts.numpy(), sample_emitters(setup, counts, most_emitters(setup, "training"), derived_seed(SEED, 1))


def test_counts_are_uniform_from_low_to_below_high():
    setup = load_setup("demo1", ["emitters.count_range=[3, 9]"])
    counts = sample_counts(setup, "training", 6000, SEED).numpy()
    values, seen = np.unique(counts, return_counts=True)
    assert list(values) == [3, 4, 5, 6, 7, 8]
    assert scipy.stats.chisquare(seen).pvalue > 1e-3
    assert most_emitters(setup, "training") == 8


def test_validation_frames_have_half_of_high():
    setup = load_setup("demo1")
    assert set(sample_counts(setup, "validation", 10, SEED).numpy()) == {17}
    assert most_emitters(setup, "validation") == 17


def test_padding_follows_the_counts():
    counts, emitters = _draw(load_setup("demo3"), 50)
    present = np.arange(34) < counts[:, None]
    assert np.array_equal(emitters.photons.numpy() > 0, present)
    assert np.array_equal(emitters.labelled, present)
    assert not emitters.xyz_um.numpy()[~present].any()
    assert (emitters.blur_sigma_px.numpy() > 0).all()
    weights = emitters.with_weights().numpy()
    assert weights.shape == (50, 34, 4)
    assert np.array_equal(weights[..., 3], present)


@pytest.mark.parametrize(("height", "width"), [(121, 121), (64, 51)])
def test_positions_are_uniform_over_the_allowed_volume(height, width):
    setup = load_setup("demo3", [f"volume.height_px={height}", f"volume.width_px={width}", "volume.margin_px=10"])
    _, emitters = _draw(setup)
    xyz = emitters.xyz_um.numpy()[emitters.photons.numpy() > 0]
    pixel = setup.optics.pixel_um
    columns, rows = xyz[:, 0] / pixel + width // 2, xyz[:, 1] / pixel + height // 2
    for values, low, high in (
        (columns, 9.5, width - 10.5),
        (rows, 9.5, height - 10.5),
        (xyz[:, 2], 2.0, 6.0),
    ):
        assert scipy.stats.kstest(values, "uniform", args=(low, high - low)).pvalue > 1e-3
        assert low <= values.min()
        assert values.max() <= high


def test_uniform_photons_and_blur():
    setup = load_setup("demo3")
    _, emitters = _draw(setup)
    present = emitters.photons.numpy() > 0
    for values, (low, high) in (
        (emitters.photons.numpy()[present], (1e4, 6e4)),
        (emitters.blur_sigma_px.numpy()[present], (0.75, 1.25)),
    ):
        assert scipy.stats.kstest(values, "uniform", args=(low, high - low)).pvalue > 1e-3


def test_gamma_photons_and_label_threshold():
    setup = load_setup("demo1")
    _, emitters = _draw(setup)
    photons, labelled = emitters.photons.numpy(), emitters.labelled.numpy()
    drawn = photons[photons > 0]
    assert scipy.stats.kstest(drawn, "gamma", args=(3.0, 0, 3000.0)).pvalue > 1e-3
    error = np.sqrt(3) * 3000 / np.sqrt(drawn.size)
    assert abs(drawn.mean() - 9000) < 4 * error
    several = (photons > 0).sum(1) > 1
    assert np.array_equal(labelled[several], photons[several] > 6000)


def test_a_lone_emitter_is_always_labelled():
    _, emitters = _draw(load_setup("demo1"), 100, count=1)
    photons, labelled = emitters.photons.numpy(), emitters.labelled.numpy()
    assert (photons[:, 0] < 6000).any()
    assert labelled[:, 0].all()
    assert not labelled[:, 1:].any()
