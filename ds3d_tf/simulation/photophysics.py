"""Blinking: molecules that are on for a while, and how much of their light falls into which frame."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ds3d_tf.setup import Setup
from ds3d_tf.setup.sections import EmittersSection
from ds3d_tf.simulation.emitters import Emitters, sample_emitters
from ds3d_tf.simulation.seeds import derived_seed

# Molecules that are on for less of a frame than this are not asked for.
MIN_LABELLED_SHARE = 0.1


class Triple(NamedTuple):
    """Emitters of three frames that follow one another; those of the middle one have the labels."""

    before: Emitters
    middle: Emitters
    after: Emitters


def sample_triple(setup: Setup, counts: tf.Tensor, most: int, seed: tf.Tensor) -> Triple:
    """Return blinking emitters of three frames.

    Molecules start uniformly in time and are on for exponentially distributed times. Of a molecule that is on in the
    middle frame, the on-time has the density of all on-times weighted by the number of starts that reach the frame,
    T + 1 (frames); a molecule with two on-times in the frame is drawn twice as often as it should be. Of every n
    molecules of a frame, n / (mean on-time + 1) end in it, and as many begin in it. Photons of the setup are those of a
    frame in which the molecule is on throughout.

    Args:
        setup: the ``Setup``; its ``emitters.photophysics`` is `blinking`.
        counts: int32 ``[B]``, count of emitters in each middle frame, at most ``most``.
        most: E, the number of places in the padded lists; the neighbouring frames have 2 E.
        seed: int64 ``[2]``, no unit.
    """
    section = setup.emitters
    middle = sample_emitters(setup, counts, most, derived_seed(seed, 0))
    shape = tf.shape(middle.photons)
    start, end = _times_through_the_middle(section, shape, derived_seed(seed, 1))
    starts, ends = _all_times(section, start, end, derived_seed(seed, 2))
    shares = [_share(starts, ends, float(frame)) for frame in range(3)]
    shown = shares[1]
    own = _dimmed(middle, shown)._replace(labelled=middle.labelled & (shown >= MIN_LABELLED_SHARE))

    leaving = 1 / (_on_time(section) + 1)
    neighbours = []
    for place, share in ((3, shares[0]), (4, shares[2])):
        others = sample_emitters(setup, counts, most, derived_seed(seed, 10 * place))
        chance = tf.random.stateless_uniform(shape, derived_seed(seed, 10 * place + 1))
        time_inside = tf.random.stateless_uniform(shape, derived_seed(seed, 10 * place + 2))
        on_time = _exponential(_on_time(section), shape, derived_seed(seed, 10 * place + 3))
        # On for at most the part of the frame before it ended, or after it began.
        also = tf.where(chance < leaving, tf.minimum(on_time, time_inside), 0.0)
        both = [_dimmed(middle, share), _dimmed(others, also)]
        joined = Emitters(*(tf.concat(parts, axis=1) for parts in zip(*both, strict=True)))
        neighbours.append(joined._replace(labelled=tf.zeros_like(joined.labelled)))
    return Triple(neighbours[0], own, neighbours[1])


def on_times(setup: Setup, start: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return when molecules that are switched on at given times are on.

    Args:
        setup: the ``Setup``; its ``emitters.photophysics`` is `blinking`.
        start: float32 ``[M]``, first switching on, in frames (an index and its fraction).
        seed: int64 ``[2]``, no unit.

    Returns:
        begin and end of each on-time, float32 ``[M, K]``, in frames (an index and its fraction), K on-times a molecule.
    """
    section = setup.emitters
    starts, ends = [], []
    for place in range(section.on_times):
        starts.append(start)
        ends.append(start + _exponential(_on_time(section), tf.shape(start), derived_seed(seed, 2 * place)))
        pause = _exponential(section.off_time_frames, tf.shape(start), derived_seed(seed, 2 * place + 1))
        start = ends[-1] + pause
    return tf.stack(starts, axis=-1), tf.stack(ends, axis=-1)


def _on_time(section: EmittersSection) -> float:
    assert section.on_time_frames is not None
    return section.on_time_frames


def _exponential(mean: float, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return -mean * tf.math.log(1.0 - tf.random.stateless_uniform(shape, seed))


def _times_through_the_middle(
    section: EmittersSection, shape: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return begin and end, in frames, of on-times that reach into the frame from 1 to 2."""
    mean = _on_time(section)
    first, second = (_exponential(mean, shape, derived_seed(seed, place)) for place in (0, 1))
    # (T + 1) exp(-T / τ) is a sum of two Gamma densities, of shapes 2 and 1, with the weights τ and 1.
    long = tf.random.stateless_uniform(shape, derived_seed(seed, 2)) < mean / (mean + 1)
    length = first + tf.where(long, second, 0.0)
    start = 2 - (length + 1) * tf.random.stateless_uniform(shape, derived_seed(seed, 3))
    return start, start + length


def _all_times(
    section: EmittersSection, start: tf.Tensor, end: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return all on-times of molecules of which one is given; it is as likely the first as any other."""
    shape = tf.shape(start)
    number = tf.floor(section.on_times * tf.random.stateless_uniform(shape, derived_seed(seed, 0)))
    starts, ends = [start], [end]
    earlier, later = start, end
    for place in range(1, section.on_times):
        draws = [derived_seed(seed, 4 * place + i) for i in range(4)]
        later_start = later + _exponential(section.off_time_frames, shape, draws[0])
        later = later_start + _exponential(_on_time(section), shape, draws[1])
        earlier_end = earlier - _exponential(section.off_time_frames, shape, draws[2])
        earlier = earlier_end - _exponential(_on_time(section), shape, draws[3])
        # An on-time of no length where the molecule has no such on-time.
        starts += [later_start, earlier]
        ends += [
            tf.where(number + place < section.on_times, later, later_start),
            tf.where(number >= place, earlier_end, earlier),
        ]
    return tf.stack(starts, axis=-1), tf.stack(ends, axis=-1)


def _share(starts: tf.Tensor, ends: tf.Tensor, frame: float) -> tf.Tensor:
    """Return the share of a frame, from ``frame`` to ``frame + 1``, in which molecules are on."""
    return tf.reduce_sum(tf.maximum(tf.minimum(ends, frame + 1) - tf.maximum(starts, frame), 0.0), axis=-1)


def _dimmed(emitters: Emitters, share: tf.Tensor) -> Emitters:
    """Return emitters with a share of their photons."""
    return emitters._replace(photons=emitters.photons * share)
