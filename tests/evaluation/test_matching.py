"""The assignment against brute force over all permutations and against one dense Hungarian problem."""

import itertools
import time

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from ds3d_tf.evaluation.matching import match


def cost_of(pairs, truth, found, tolerance):
    distance = np.linalg.norm(truth[pairs[0]] - found[pairs[1]], axis=1)
    assert (distance < tolerance).all()
    return distance.sum() + tolerance * (min(len(truth), len(found)) - len(distance))


def brute_force(truth, found, tolerance):
    if len(truth) > len(found):
        truth, found = found, truth
    distance = np.minimum(np.linalg.norm(truth[:, None] - found[None], axis=-1), tolerance)
    rows = np.arange(len(truth))
    return min(distance[rows, list(chosen)].sum() for chosen in itertools.permutations(range(len(found)), len(truth)))


@pytest.mark.parametrize("seed", range(20))
def test_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 0.3, (rng.integers(1, 6), 3))
    found = rng.uniform(0, 0.3, (rng.integers(1, 7), 3))
    pairs = match(truth, found, 0.15)
    assert len(set(pairs[0])) == len(set(pairs[1])) == len(pairs[0])
    assert cost_of(pairs, truth, found, 0.15) == pytest.approx(brute_force(truth, found, 0.15), abs=1e-12)


@pytest.mark.parametrize("density", [0.2, 2.0])
def test_groups_give_the_same_as_one_dense_problem(density):
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 2, (300, 3)) / density
    found = truth[:260] + rng.normal(0, 0.05, (260, 3))
    distance = np.minimum(np.linalg.norm(truth[:, None] - found[None], axis=-1), 0.1)
    rows, columns = linear_sum_assignment(distance)
    pairs = match(truth, found)
    assert cost_of(pairs, truth, found, 0.1) == pytest.approx(distance[rows, columns].sum(), abs=1e-9)


def test_a_far_localization_does_not_take_the_partner_of_a_near_one():
    """The plain assignment would pair both (0.001 + 0.09 beats 0.05 + 5) and then drop nothing but the best pair."""
    truth = np.array([[0.0, 0, 0], [0.06, 0, 0]])
    found = np.array([[0.05, 0, 0], [5.0, 0, 0]])
    pairs = match(truth, found)
    assert [list(index) for index in pairs] == [[1], [0]]


def test_the_tolerance_is_exclusive_and_three_dimensional():
    truth = np.zeros((1, 3))
    assert len(match(truth, np.array([[0.0, 0.0, 0.1]]))[0]) == 0
    assert len(match(truth, np.array([[0.0, 0.0, 0.0999]]))[0]) == 1
    assert len(match(truth, np.array([[0.06, 0.06, 0.06]]))[0]) == 0


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (4, 0)])
def test_nothing_to_match(n, m):
    truth, found = match(np.zeros((n, 3)), np.zeros((m, 3)))
    assert len(truth) == len(found) == 0 and truth.dtype.kind == "i"


def test_crowded_recordings_stay_fast():
    rng = np.random.default_rng(4)
    truth = rng.uniform(0, 40, (20_000, 3))
    begin = time.perf_counter()
    assert len(match(truth, truth + rng.normal(0, 0.02, truth.shape))[0]) > 19_500
    assert time.perf_counter() - begin < 20


def test_programming_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"found_um: expected \[N, 3\]"):
        match(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="tolerance_um"):
        match(np.zeros((2, 3)), np.zeros((2, 3)), 0)
