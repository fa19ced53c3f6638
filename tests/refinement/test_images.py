"""The local images against the exact renderer in double precision."""

from __future__ import annotations

import numpy as np

INNER_PX = 12


def inner(microscope, values):
    """The middle of images on the local window."""
    core = microscope.model.core
    part = slice(core.half_px - INNER_PX, core.half_px + INNER_PX + 1)
    return values[..., part, part]


def exact(microscope, emitters, windows_of):
    """The same parts of the exact renderer's images of one photon."""
    core, (height, width) = microscope.model.core, (61, 61)
    images = microscope.images(np.column_stack([emitters[:, :3], np.ones(len(emitters)), emitters[:, 4]]))
    result = []
    for image, corner in zip(images, core.corners(windows_of[:, :3]), strict=True):
        row, column = corner + core.half_px + (height // 2, width // 2)
        result.append(image[row - INNER_PX : row + INNER_PX + 1, column - INNER_PX : column + INNER_PX + 1])
    return np.array(result)


def test_images(microscope, emitters):
    local = inner(microscope, microscope.model.core.images(emitters[:, :3], emitters[:, 4]))
    wanted = exact(microscope, emitters, emitters)
    error = np.abs(local - wanted).max(axis=(1, 2)) / wanted.max(axis=(1, 2))
    assert (error < 1e-3).all()


def test_derivatives_are_those_of_the_exact_images(microscope, emitters):
    core = microscope.model.core
    local = inner(microscope, core.derivatives(emitters[:, :3], emitters[:, 4]))
    for place, parameter in ((1, 0), (2, 1), (3, 2), (4, 4)):
        step = np.zeros(5)
        step[parameter] = 1e-3
        wanted = (exact(microscope, emitters + step, emitters) - exact(microscope, emitters - step, emitters)) / 2e-3
        error = np.abs(local[:, place] - wanted).max(axis=(1, 2)) / np.abs(wanted).max(axis=(1, 2))
        assert (error < 1e-2).all(), (place, error)


def test_second_derivatives_are_differences_of_the_first(microscope, emitters):
    core, step = microscope.model.core, 1e-3
    bends = core.curvatures(emitters[:, :3], emitters[:, 4])
    for place, derivative, axis in ((0, 1, 0), (1, 2, 1), (2, 3, 2), (3, 1, 1), (4, 1, 2), (5, 2, 2)):
        move = np.zeros(3)
        move[axis] = step
        ahead, behind = (core.derivatives(emitters[:, :3] + s * move, emitters[:, 4])[:, derivative] for s in (1, -1))
        wanted = (ahead - behind) / (2 * step)
        assert np.abs(bends[:, place] - wanted).max() < 0.02 * np.abs(wanted).max()
