"""Backgrounds: uniform, and the super-Gaussian recovered from its logarithm."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.background import background, super_gaussian
from ds3d_tf.simulation.seeds import split_seed

SEED = split_seed(1, "training")


def test_uniform_background():
    section = load_setup("demo1", ["background.level=12.5"]).background
    assert np.all(background(section, 3, (21, 20), SEED).numpy() == 12.5)


def test_super_gaussian_is_a_stretched_exponential_of_a_squared_form():
    angle = 0.3
    overrides = [f"background.angle_range_rad=[{angle}, {angle}]", "background.max_offset_px=[6.0, 3.0]"]
    section = load_setup("demo3", overrides).background
    height, width = 101, 121
    shapes = super_gaussian(section, 20, (height, width), SEED).numpy().astype(np.float64)
    centres, widths = [], []
    for shape in shapes:
        assert shape.min() == 0
        assert shape.max() == 1
        rows, columns = np.nonzero(shape > 0.05)
        form = np.sqrt(-np.log(shape[rows, columns]))
        x, y = columns - (width - 1) / 2, rows - (height - 1) / 2
        terms = np.column_stack([x**2, x * y, y**2, x, y, np.ones_like(x)])
        (a, two_b, c, along_x, along_y, _), *_ = np.linalg.lstsq(terms, form, rcond=None)
        # The highest pixel is not quite at the centre, nor the lowest quite 0: the form is quadratic to 1 %.
        matrix = np.array([[a, two_b / 2], [two_b / 2, c]])
        centres.append(-np.linalg.solve(2 * matrix, [along_x, along_y]))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # a = cos²/2σx² + sin²/2σy², b = (sin 2θ / 4)(1/σy² - 1/σx²): diagonal in axes turned by -θ.
        diagonal = turn @ matrix @ turn.T
        assert abs(diagonal[0, 1]) < 0.02 * min(diagonal[0, 0], diagonal[1, 1])
        widths.append(1 / np.sqrt(2 * np.diag(diagonal)))
    centres, widths = np.array(centres), np.array(widths)
    assert np.all(np.abs(centres) <= [6.2, 3.2])
    assert np.all(np.abs(centres).max(0) > [3, 1.5])
    assert np.all(widths > 0.98 * np.array([width, height]) / 5)
    assert np.all(widths < 1.02 * np.array([width, height]) * 2 / 5)
    assert np.all(np.ptp(widths, axis=0) > [10, 8])


def test_valley_and_peak_are_drawn_up_to_half_again():
    section = load_setup("demo3").background
    values = background(section, 300, (41, 41), SEED).numpy()
    lowest, highest = values.min(axis=(1, 2)), values.max(axis=(1, 2))
    assert lowest.min() == pytest.approx(20, abs=0.3)
    assert lowest.max() == pytest.approx(30, abs=0.3)
    assert highest.min() == pytest.approx(100, abs=2)
    assert highest.max() == pytest.approx(150, abs=2)
    assert abs(np.corrcoef(lowest, highest)[0, 1]) < 0.2
