"""The threshold that follows from the rate of false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.refinement import RefineOptions, refine
from ds3d_tf.refinement.options import distinct_places, min_gain


def test_threshold_gives_the_expected_number_of_peaks_back():
    for rate in (0.1, 0.01):
        u = np.sqrt(2 * min_gain(rate, 5000.0))
        assert 5000 * (u**2 - 1) * np.exp(-(u**2) / 2) / (2 * np.pi) ** 2 == pytest.approx(rate)
    assert min_gain(0.01, 5000.0) < min_gain(0.001, 5000.0) < min_gain(0.001, 50000.0)


def test_distinct_places_grow_with_the_frame(microscope):
    small, large = (distinct_places(microscope.model, (size, 61), 1.0) for size in (61, 122))
    assert large == pytest.approx(2 * small)


def test_empty_frames_stay_below_the_rate(microscope):
    frames = np.random.default_rng(5).poisson(30, (200, 61, 61)).astype(np.float32)
    found = refine(frames, None, microscope.setup, microscope.mask_rad, options=RefineOptions(0.1))
    assert len(found) <= 0.1 * len(frames)
