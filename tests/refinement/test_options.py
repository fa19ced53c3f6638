"""The threshold that follows from the rate of false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.refinement import RefineOptions, refine
from ds3d_tf.refinement.options import distinct_places, min_gain


def test_threshold_gives_the_expected_number_of_peaks_back():
    for rate in (0.1, 0.01):
        u = np.sqrt(2 * min_gain(rate, (5000.0, 0.0)))
        assert 5000 * (u**2 - 1) * np.exp(-(u**2) / 2) / (2 * np.pi) ** 2 == pytest.approx(rate)
    assert min_gain(0.01, (5000.0, 0.0)) < min_gain(0.001, (5000.0, 0.0)) < min_gain(0.001, (5000.0, 5000.0))


def test_distinct_places_grow_with_the_frame(microscope):
    small, large = (distinct_places(microscope.model, (size, 61), (0.8, 1.2)) for size in (61, 122))
    assert large == pytest.approx(2 * np.array(small))
    assert distinct_places(microscope.model, (61, 61), (1.0, 1.01))[1] == 0


def test_false_alarms_of_empty_frames(microscope):
    """Within a factor of 2 of the rate asked for: noise alone, so every emitter is false."""
    frames = np.random.default_rng(5).poisson(30, (60, 61, 61)).astype(np.float32)
    found = refine(frames, None, microscope.setup, microscope.mask_rad, options=RefineOptions(0.5))
    assert 0.25 <= len(found) / len(frames) <= 1.0
    assert len(refine(frames[:20], None, microscope.setup, microscope.mask_rad, options=RefineOptions(0.001))) == 0
