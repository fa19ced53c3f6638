"""Whole frames: nothing, something, bad pixels, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.refinement import CameraNoise, RefineOptions, refine


@pytest.fixture(scope="module")
def frame(microscope, emitters):
    mean = microscope.images(emitters).sum(axis=0) + 30
    return np.random.default_rng(3).poisson(mean).astype(np.float32)


def check(found, emitters):
    assert len(found) == len(emitters)
    order = np.argsort(found.xyz_um[:, 2])
    pulls = (found.xyz_um[order] - emitters[:, :3]) / found.sigma_xyz_um[order]
    assert np.abs(pulls).max() < 4
    assert (found.sigma_xyz_um < 0.02).all()
    assert np.abs((found.photons[order] - emitters[:, 3]) / found.sigma_photons[order]).max() < 4


def test_from_nothing(microscope, emitters, frame):
    found = refine(frame[None], None, microscope.setup, microscope.mask_rad)
    check(found, emitters)
    assert np.isnan(found.confidence).all()
    assert found.reduced_chi2 == pytest.approx(1, abs=0.3)
    assert found.background == pytest.approx(30, abs=3)
    table = found.to_dataframe()
    assert {"frame", "x [nm]", "uncertainty_z [nm]", "intensity [photon]"} <= set(table)
    assert len(found.where(found.photons > 0)) == 3


def test_from_a_start_with_a_false_and_a_missing_emitter(microscope, emitters, frame):
    start = np.concatenate([emitters[:2, :3] + 0.04, [[1.5, -1.5, 4.4]]])
    proposed = Localizations(np.full(3, 2), start, np.array([5.0, 6.0, 7.0]), (61, 61), microscope.setup)
    empty = np.random.default_rng(4).poisson(30, frame.shape)
    found = refine(np.stack([empty, frame]), proposed, microscope.setup, microscope.mask_rad)
    assert set(found.frame) == {2}
    check(found, emitters)
    np.testing.assert_array_equal(found.confidence[np.argsort(found.xyz_um[:, 2])], [5, 6, np.nan])


def test_bad_pixels_gain_and_offset(microscope, emitters, frame):
    counts = 100 + 2.5 * frame
    counts[20, 20], counts[40, 12] = np.nan, 60000
    noise = CameraNoise(offset=100, gain=2.5, valid=counts != 60000)
    check(refine(counts[None], None, microscope.setup, microscope.mask_rad, noise=noise), emitters)


def test_no_frames_and_no_light(microscope):
    assert len(refine(np.zeros((0, 61, 61)), None, microscope.setup, microscope.mask_rad)) == 0
    assert len(refine(np.zeros((1, 61, 61)), None, microscope.setup, microscope.mask_rad)) == 0
    assert len(refine(np.full((1, 61, 61), np.nan), None, microscope.setup, microscope.mask_rad)) == 0


def test_wrong_input_is_refused(microscope, frame):
    setup, mask_rad = microscope.setup, microscope.mask_rad
    with pytest.raises(InputError, match="frames: expected an array"):
        refine(frame, None, setup, mask_rad)
    with pytest.raises(InputError, match="false_alarms_per_frame"):
        RefineOptions(false_alarms_per_frame=0)
    with pytest.raises(InputError, match="max_tries"):
        RefineOptions(max_tries=-1)
    beyond = Localizations(np.array([2]), np.zeros((1, 3)), np.ones(1), (61, 61), setup)
    with pytest.raises(InputError, match="start: frames 2 to 2, but there are 1"):
        refine(frame[None], beyond, setup, mask_rad)
    with pytest.raises(InputError, match="read_sigma: a map"):
        refine(frame[None], None, setup, mask_rad, noise=CameraNoise(read_sigma=np.ones((3, 3))))
