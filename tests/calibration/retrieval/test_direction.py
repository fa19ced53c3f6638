"""What a bead stack tells of the focus direction, and when a retrieval has failed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.calibration.retrieval.direction import agreement_with_mask, tells
from ds3d_tf.calibration.retrieval.focus_positions import doubtful_span
from ds3d_tf.calibration.retrieval.model import BeadStackModel
from ds3d_tf.calibration.retrieval.options import RetrievedMask
from ds3d_tf.calibration.retrieval.verdict import judge, reachable_correlation
from ds3d_tf.setup.sections import OpticsSection

OPTICS = OpticsSection(slm_pixel_um=60.3)
NFP_UM = np.linspace(-1.0, 1.0, 9)


def images(phase: np.ndarray, nfp_um: np.ndarray, height_um: float) -> np.ndarray:
    model = BeadStackModel(OPTICS, 101, (41, 41), height_um)
    offset = tf.zeros([len(nfp_um), 2])
    found = model(tf.constant(phase, tf.float32), offset, tf.constant(nfp_um, tf.float32), tf.constant(0.8))
    return found.numpy()


@pytest.mark.parametrize("height_um", [0.0, 1.5])
def test_a_bead_alone_cannot_tell(height_um: float) -> None:
    """The twin mask gives the same images in the other direction, above the coverslip with twice the height's phase."""
    model = BeadStackModel(OPTICS, 101, (41, 41), height_um)
    inside = (model.crop, model.crop)
    place = np.linspace(-1, 1, model.size_px)
    phase = (2 * np.subtract.outer(place**2, place**2) + place[None, :] ** 3 - place[:, None]) * model.support
    twin = -phase[::-1, ::-1] - 2 * height_um * model.grids.axial_rad_per_um[inside]
    expected = images(phase, NFP_UM, height_um)
    np.testing.assert_allclose(images(twin, -NFP_UM, height_um), expected, atol=2e-4 * expected.max())


def test_a_known_astigmatism_tells() -> None:
    model = BeadStackModel(OPTICS, 101, (41, 41), 0.0)
    place = np.linspace(-1, 1, model.size_px)
    mask = np.zeros((101, 101))
    mask[model.crop, model.crop] = 3 * np.subtract.outer(place**2, place**2) * model.support
    stack = 1e4 * images(mask[model.crop, model.crop], NFP_UM, 0.0)
    right = agreement_with_mask(stack, NFP_UM, OPTICS, mask, 0.0, 0.8)
    wrong = agreement_with_mask(stack, -NFP_UM, OPTICS, mask, 0.0, 0.8)
    assert tells(right) and right[0] > 0.99 > right[1] and wrong == pytest.approx(right[::-1], abs=1e-6)
    flat = agreement_with_mask(stack, NFP_UM, OPTICS, 0 * mask, 0.0, 0.8)
    assert not tells(flat)


def retrieved(slices: np.ndarray, shown: np.ndarray, **changes: object) -> RetrievedMask:
    from ds3d_tf.calibration.retrieval.stack import correlations

    count = len(slices)
    result = RetrievedMask(
        mask_rad=np.zeros((9, 9)),
        blur_sigma_px=0.8,
        offset_um=np.zeros(2),
        drift_um_per_um=np.zeros(2),
        focus_offset_um=0.1,
        signal=np.ones(count),
        background=np.zeros(count),
        correlation=correlations(shown, slices),
        fitted=np.ones(count, bool),
        images=shown,
        steps=1,
        misfit=1.0,
        focus_scale=1.02,
    )
    return replace(result, **changes)


def test_noise_alone_is_no_failure() -> None:
    """A dim stack has low correlations with the truth itself, and the verdict allows for that."""
    truth = images(np.zeros((BeadStackModel(OPTICS, 101, (41, 41), 0.0).size_px,) * 2), NFP_UM, 0.0)
    dim = np.random.default_rng(0).normal(8000 * truth, 8.0)
    result = retrieved(dim, truth)
    assert result.correlation.mean() < 0.93
    np.testing.assert_allclose(reachable_correlation(dim), result.correlation, atol=0.05)
    assert judge(dim, NFP_UM, result).word == "good"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"focus_scale": 1.3}, "focus steps of 1.30 times"),
        ({"focus_offset_um": 4.0}, r"moved the focus by \+4.0 µm"),
        ({"drift_um_per_um": np.array([0.6, 0.3])}, "moves sideways by 0.7 µm"),
    ],
)
def test_what_is_a_failure(changes: dict, reason: str) -> None:
    truth = images(np.zeros((BeadStackModel(OPTICS, 101, (41, 41), 0.0).size_px,) * 2), NFP_UM, 0.0)
    verdict = judge(truth, NFP_UM, retrieved(truth, truth, **changes))
    assert verdict.word == "failed"
    np.testing.assert_equal(len(verdict.failures), 1)
    import re

    assert re.search(reason, verdict.failures[0])


def test_spans_in_other_units() -> None:
    assert doubtful_span(NFP_UM) is None
    assert "look like nm: -1 to 1 µm" in (doubtful_span(1000 * NFP_UM) or "")
    assert "look like mm" in (doubtful_span(NFP_UM / 1000) or "")
