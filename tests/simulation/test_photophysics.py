"""Blinking: three frames and whole recordings against what a plain simulation of molecules in time gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.common import InputError
from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.movie import Movie
from ds3d_tf.simulation.photophysics import sample_triple
from ds3d_tf.simulation.seeds import split_seed
from ds3d_tf.simulation.stream import simulate_frames, training_dataset

CHANGES = ("emitters.photophysics=blinking", "emitters.on_time_frames=2", "signal.uniform_range=[1000, 1000]")
SMALL = ("volume.height_px=16", "volume.width_px=20", "volume.margin_px=3")


def blinking(*more: str):
    return load_setup("quickstart_voxel", [*CHANGES, *more])


def shares_in_time(mean: float, times: int, pause: float, molecules: int = 400_000, frames: int = 80) -> np.ndarray:
    """Shares [molecules, 3] of three frames in the middle of a long time, of molecules that start at any moment."""
    rng = np.random.default_rng(0)
    result = np.zeros((molecules, 3))
    start = rng.uniform(0, frames, molecules)
    for _ in range(times):
        end = start + rng.exponential(mean, molecules)
        for place in range(3):
            first = frames / 2 + place
            result[:, place] += np.clip(np.minimum(end, first + 1) - np.maximum(start, first), 0, None)
        start = end + rng.exponential(pause, molecules)
    return result


@pytest.mark.parametrize("times", [1, 3])
def test_three_frames(times):
    setup = blinking(f"emitters.on_times={times}", "emitters.off_time_frames=5")
    each, frames = 20, 300
    triple = sample_triple(setup, tf.fill([frames], each), each, split_seed(0, "training"))
    middle = triple.middle.photons.numpy() / 1000
    before, after = (one.photons.numpy() / 1000 for one in (triple.before, triple.after))
    truth = shares_in_time(2.0, times, 5.0)
    on = truth[:, 1] > 0
    # Every molecule asked for is on in the middle frame, as long as any other such molecule is.
    assert (middle > 0).all()
    assert middle.mean() == pytest.approx(truth[on, 1].mean(), abs=0.012)
    assert (middle > 0.999).mean() == pytest.approx((truth[on, 1] > 0.999).mean(), abs=0.02)
    for one, place in ((before, 0), (after, 2)):
        # The same molecules in the neighbouring frame.
        assert one[:, :each].mean() == pytest.approx(truth[on, place].mean(), abs=0.015)
        assert (one[:, :each] > 0).mean() == pytest.approx((truth[on, place] > 0).mean(), abs=0.02)
        if times == 1:
            # And as many molecules in it as in the middle one.
            total = (one > 0).sum() / frames
            assert total == pytest.approx(each, rel=0.03)
            assert one.sum() / frames == pytest.approx(middle.sum() / frames, rel=0.03)
    labelled = triple.middle.labelled.numpy()
    np.testing.assert_array_equal(labelled, middle >= 0.1)
    assert not triple.before.labelled.numpy().any()


def test_a_molecule_stays_where_it_is():
    triple = sample_triple(blinking(), tf.fill([4], 6), 6, split_seed(1, "training"))
    for other in (triple.before, triple.after):
        np.testing.assert_array_equal(other.xyz_um[:, :6], triple.middle.xyz_um)
        assert other.xyz_um.shape == (4, 12, 3)


def test_a_recording_has_the_density_and_the_recurrence_of_its_molecules():
    movie = Movie(blinking(), seed=3, emitter_count=30)
    xyz_um, photons, _, labelled = movie.emitters(0, 120)
    on = photons > 0
    assert on.sum(axis=1).mean() == pytest.approx(30, rel=0.08)
    np.testing.assert_array_equal(labelled, photons >= 100)
    positions = [{tuple(row) for row in frame[own]} for frame, own in zip(xyz_um, on, strict=True)]
    again = np.mean([len(a & b) / len(a) for a, b in itertools.pairwise(positions)])
    truth = shares_in_time(2.0, 1, 1.0)
    expected = (truth[truth[:, 1] > 0, 2] > 0).mean()
    assert again == pytest.approx(expected, abs=0.03)


def test_frames_do_not_depend_on_where_one_begins():
    setup = blinking(*SMALL)
    whole = simulate_frames(setup, 11, seed=5)
    part = simulate_frames(setup, 4, seed=5, first_frame=6)
    np.testing.assert_array_equal(part.frames, whole.frames[6:10])
    most = part.photons.shape[1]
    np.testing.assert_array_equal(part.photons, whole.photons[6:10, :most])


def test_stream_of_three_frames():
    setup = blinking(*SMALL, "learning.network=pixel", "learning.context_frames=3", "learning.crop_px=12")
    frames, emitters = next(iter(training_dataset(setup, "training", batch_size=8)))
    assert frames.shape == (8, 12, 12, 3)
    assert emitters.shape == (8, 6, 6)
    validation, _ = next(iter(training_dataset(setup, "validation", batch_size=8)))
    assert validation.shape == (8, 16, 20, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["emitters.photophysics=blinking"], "emitters.on_time_frames: needed"),
        (["learning.network=pixel", "learning.context_frames=3"], "needs emitters.photophysics=blinking"),
        ([*CHANGES, "learning.context_frames=3"], "needs learning.network=pixel"),
        (["learning.network=pixel", "learning.crop_px=1000"], "larger than frames"),
        (["learning.network=pixel", "learning.scaling_factor=0.5"], "must be 1 with learning.network=pixel"),
    ],
)
def test_setups_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        load_setup("quickstart_voxel", changes)
