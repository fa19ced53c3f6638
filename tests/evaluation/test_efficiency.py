"""The challenge's efficiency against worked examples, and the grid index against even and uneven positions."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.evaluation.comparison import compare
from ds3d_tf.evaluation.efficiency import ChallengeRules, challenge_metrics, efficiency, grid_index
from ds3d_tf.evaluation.refined import network_pulls

PIXEL_UM = 0.1


@pytest.mark.parametrize(
    ("jaccard", "rmse_nm", "weight", "expected"),
    # 3-4-5 and 5-12-13 triangles, a perfect answer, and LUNAR's published figures to a digit.
    [(0.97, 4.0, 1.0, 95.0), (0.88, 10.0, 0.5, 87.0), (1.0, 0.0, 1.0, 100.0), (0.96, 28.5, 1.0, 71.2)],
)
def test_formula(jaccard, rmse_nm, weight, expected):
    assert efficiency(jaccard, rmse_nm, weight) == pytest.approx(expected, abs=0.05)


def test_metrics_of_a_frame_made_by_hand():
    """Three right within the tolerances, one too far in z, one missed, one false, and two near the border."""
    truth = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [-1, 0, 1], [0, -1, 1], [-2.4, 0, 1]], float)
    found = np.array(
        [[0.24, 0, 1], [1, 0.03, 1.04], [0, 1, 1.4], [-1, 0, 1.6], [1.5, 1.5, 1], [2.45, 0, 1]],
    )
    values = challenge_metrics([truth], [found], (50, 50), PIXEL_UM)
    assert values["challenge_jaccard"] == pytest.approx(3 / (5 + 5 - 3))
    lateral, axial = np.sqrt((240**2 + 30**2) / 3), np.sqrt((40**2 + 400**2) / 3)
    assert values["challenge_rmse_lateral_nm"] == pytest.approx(lateral)
    assert values["challenge_rmse_axial_nm"] == pytest.approx(axial)
    missed = 100 * (1 - 3 / 7)
    parts = [100 - np.sqrt(missed**2 + (factor * rmse) ** 2) for factor, rmse in ((1, lateral), (0.5, axial))]
    assert values["efficiency_3d"] == pytest.approx(np.mean(parts))
    everything = challenge_metrics([truth], [found], (50, 50), PIXEL_UM, ChallengeRules(250, 500, 0))
    assert everything["challenge_jaccard"] == pytest.approx(3 / (6 + 6 - 3))


def test_two_pairs_are_better_than_one_near_one():
    """A localization between two emitters goes where both emitters get one."""
    truth = np.array([[0, 0, 1], [0.2, 0, 1]], float)
    found = np.array([[0.19, 0, 1], [0.41, 0, 1]])
    values = challenge_metrics([truth], [found], (50, 50), PIXEL_UM)
    assert values["challenge_jaccard"] == 1.0


def test_without_a_pair():
    values = challenge_metrics([np.zeros((0, 3))], [np.zeros((0, 3))], (20, 20), PIXEL_UM)
    assert values["challenge_jaccard"] == 1.0
    assert values["efficiency_3d"] is None


def test_grid_index():
    rng = np.random.default_rng(0)
    even = rng.uniform(-3, 3, (20000, 3))
    assert grid_index(even, PIXEL_UM) < 4 / np.sqrt(20000)
    centres = np.round(even / PIXEL_UM) * PIXEL_UM
    assert grid_index(centres, PIXEL_UM) == pytest.approx(1.0, abs=1e-3)
    # Pulled towards the centres by a Gaussian of σ = 0.2 pixels: exp(-2 π² σ²).
    pulled = centres + rng.normal(0, 0.2 * PIXEL_UM, centres.shape)
    assert grid_index(pulled, PIXEL_UM) == pytest.approx(np.exp(-2 * np.pi**2 * 0.04), abs=0.02)
    assert grid_index(np.zeros((0, 3)), PIXEL_UM) is None


def test_pulls_of_a_network():
    """Errors drawn with known multiples of the stated standard deviations, in frames of which some find nothing."""
    rng = np.random.default_rng(0)
    truth = [rng.uniform(-20, 20, (count, 3)) for count in (0, 300, 0, 300)]
    sigma = [rng.uniform(0.003, 0.006, (len(one), 3)) for one in truth]
    wrong = np.array([1.0, 2.0, 0.5])
    found = [one + wrong * some * rng.normal(size=some.shape) for one, some in zip(truth, sigma, strict=True)]
    rows = np.zeros((600, 10))
    rows[:, 6:9], rows[:, 9] = np.concatenate(sigma), 100
    photons = rng.uniform(1000, 2000, 600)
    rows[:, 4] = photons + 150 * rng.normal(size=600)
    values = network_pulls(compare(truth, found), photons, rows)
    for name, expected in zip(("x", "y", "z", "photons"), (*wrong, 1.5), strict=True):
        assert values[f"pull_sigma_{name}"] == pytest.approx(expected, rel=0.1)
    assert network_pulls(compare([np.zeros((0, 3))], [np.zeros((0, 3))]), np.zeros(0), np.zeros((0, 10))) == {}
