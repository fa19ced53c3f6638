"""Recordings of blinking molecules: frames that follow one another, each the same whatever frames are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import tensorflow as tf

from ds3d_tf.setup import Setup
from ds3d_tf.simulation.emitters import sample_emitters
from ds3d_tf.simulation.photophysics import MIN_LABELLED_SHARE, on_times
from ds3d_tf.simulation.seeds import derived_seed, split_seed

# A molecule is followed for this many times the mean of its on- and off-times.
_MEANS_FOLLOWED = 8


class Movie:
    """Blinking molecules over time: those that start in a frame follow from the seed and the frame's number alone."""

    def __init__(self, setup: Setup, seed: int, emitter_count: int | None = None) -> None:
        """Prepare a recording.

        Args:
            setup: the ``Setup``; its ``emitters.photophysics`` is `blinking`.
            seed: seed of the recording.
            emitter_count: mean number of molecules that are on in a frame; None: the middle of the setup's range.
        """
        section = setup.emitters
        low, high = section.count_range
        wanted = (low + high - 1) / 2 if emitter_count is None else emitter_count
        assert section.on_time_frames is not None
        self.setup = setup
        self._seed = split_seed(seed, "simulation")
        # A molecule is seen in as many frames as its on-times are long, and in one more each.
        self._starts_a_frame = wanted / (section.on_times * (section.on_time_frames + 1))
        together = section.on_times * (section.on_time_frames + section.off_time_frames * (section.on_times > 1))
        self._followed = math.ceil(_MEANS_FOLLOWED * together) + 1
        self._started: Callable[[int], tuple[np.ndarray, ...]] = lru_cache(maxsize=4 * self._followed)(self._start)

    def emitters(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the emitters of frames that follow one another.

        Args:
            first: index of the first frame, from 0.
            count: F, number of frames.

        Returns:
            xyz_um float32 ``[F, E, 3]``, µm; photons float32 ``[F, E]``, 0 in the padding; blur float32 ``[F, E]``,
            pixels; labelled bool ``[F, E]``, True for molecules that are on for a tenth of the frame or more.
        """
        parts = [self._started(start) for start in range(first - self._followed, first + count)]
        xyz_um, photons, blur, starts, ends = (np.concatenate(values) for values in zip(*parts, strict=True))
        frames = np.arange(first, first + count)[:, None, None]
        share = np.clip(np.minimum(ends, frames + 1) - np.maximum(starts, frames), 0, None).sum(axis=-1)
        most = max(int((share > 0).sum(axis=1).max(initial=0)), 1)
        result = (
            np.zeros((count, most, 3), np.float32),
            np.zeros((count, most), np.float32),
            np.ones((count, most), np.float32),
            np.zeros((count, most), bool),
        )
        for frame in range(count):
            on = np.flatnonzero(share[frame])
            own = slice(len(on))
            result[0][frame, own], result[2][frame, own] = xyz_um[on], blur[on]
            result[1][frame, own] = photons[on] * share[frame, on]
            result[3][frame, own] = share[frame, on] >= MIN_LABELLED_SHARE
        return result

    def _start(self, frame: int) -> tuple[np.ndarray, ...]:
        """Return the molecules that are first switched on in a frame: positions, photons, blur, on-times."""
        # Numbers of frames before the first are below 0, and seeds are not.
        seed = derived_seed(self._seed, frame + 2**31)
        number = int(tf.random.stateless_poisson([], derived_seed(seed, 0), self._starts_a_frame, tf.int32))
        drawn = sample_emitters(self.setup, tf.constant([number]), number, derived_seed(seed, 1))
        begin = frame + tf.random.stateless_uniform([number], derived_seed(seed, 2))
        starts, ends = on_times(self.setup, begin, derived_seed(seed, 3))
        values = (drawn.xyz_um[0], drawn.photons[0], drawn.blur_sigma_px[0], starts, ends)
        return tuple(value.numpy() for value in values)


def movie_groups(
    setup: Setup,
    count: int,
    seed: int,
    emitter_count: int | None,
    first_frame: int,
    group_frames: int,
    record: Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield frames of a recording and their emitters, a group at a time.

    Args:
        setup: the ``Setup``; its ``emitters.photophysics`` is `blinking`.
        count: number of frames.
        seed: seed of the recording.
        emitter_count: mean number of molecules that are on in a frame; None: the setup's.
        first_frame: index of the first frame, from 0.
        group_frames: frames of a group.
        record: makes float32 ``[F, H, W]`` counts of xyz_um (µm), photons, blur (pixels) and the seed of the group.

    Yields:
        frames float32 ``[F, H, W]``, counts; xyz_um float32 ``[F, E, 3]``, µm; photons float32 ``[F, E]``; labelled
        bool ``[F, E]``.
    """
    movie = Movie(setup, seed, emitter_count)
    stream_seed = derived_seed(split_seed(seed, "simulation"), 2**30)
    for group in range(first_frame // group_frames, math.ceil((first_frame + count) / group_frames) if count else 0):
        start = group * group_frames
        wanted = slice(max(first_frame - start, 0), min(first_frame + count - start, group_frames))
        xyz_um, photons, blur, labelled = movie.emitters(start, group_frames)
        frames = record(xyz_um, photons, blur, derived_seed(stream_seed, group)).numpy()
        yield frames[wanted], xyz_um[wanted], photons[wanted], labelled[wanted]
