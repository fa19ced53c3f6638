"""Endless streams of simulated frames: the same frames whatever the parallelism or batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.fast_or_exact import fast_or_exact_renderer
from ds3d_tf.setup import Setup
from ds3d_tf.setup.camera_files import load_camera
from ds3d_tf.simulation import camera
from ds3d_tf.simulation.background import background
from ds3d_tf.simulation.camera_counts import camera_counts
from ds3d_tf.simulation.crops import random_crops
from ds3d_tf.simulation.emitters import Emitters, light_labels, most_emitters, sample_counts, sample_emitters
from ds3d_tf.simulation.movie import movie_groups
from ds3d_tf.simulation.normalization import normalize
from ds3d_tf.simulation.photophysics import sample_triple
from ds3d_tf.simulation.random_numbers import poisson
from ds3d_tf.simulation.seeds import derived_seed, split_seed
from ds3d_tf.simulation.shares import WHOLE, Share

# Frames are drawn and rendered in groups that depend on nothing but the frame's number, so that no choice of
# batch, parallelism or starting frame can change one. Changing this number changes every stream.
GROUP_FRAMES = 8

Renderer = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True, eq=False)
class SimulatedFrames:
    """Frames and what is in them.

    Attributes:
        frames: float32 ``[F, H, W]``, raw counts.
        xyz_um: float32 ``[F, E, 3]`` (x, y, z), µm; x = y = 0 is the centre of pixel (H // 2, W // 2).
        photons: float32 ``[F, E]``, photons; 0 marks padding.
        labelled: bool ``[F, E]``, no unit; False for padding and for emitters below the label threshold.
    """

    frames: np.ndarray
    xyz_um: np.ndarray
    photons: np.ndarray
    labelled: np.ndarray


def default_renderer(setup: Setup) -> Renderer:
    """Return the renderer that streams use for the mask of a setup: the fast one if it is good enough."""
    return fast_or_exact_renderer(setup.optics, setup.volume, load_mask(setup), setup.blur.sigma_range_px)


def frame_group(
    setup: Setup, renderer: Renderer, seed: tf.Tensor, split: str, emitter_count: int | None = None
) -> tuple[tf.Tensor, Emitters]:
    """Return the GROUP_FRAMES frames of one group and their emitters.

    Args:
        setup: the ``Setup``.
        renderer: maps xyz_um ``[B, E, 3]`` (µm), photons ``[B, E]``, blur ``[B, E]`` (pixels) to ``[B, H, W]`` counts.
        seed: int64 ``[2]``, no unit, of the group.
        split: "training", "validation" or "simulation".
        emitter_count: fixed number of emitters a frame, instead of the setup's.

    Returns:
        float32 ``[GROUP_FRAMES, H, W]``, raw counts, and the Emitters.
    """
    emitters = group_emitters(setup, seed, split, emitter_count)
    return frames_of(setup, renderer, emitters, seed), emitters


def frames_of(setup: Setup, renderer: Renderer, emitters: Emitters, seed: tf.Tensor) -> tf.Tensor:
    """Return the GROUP_FRAMES frames that show given emitters over background and noise.

    Args:
        setup: the ``Setup``.
        renderer: as in :func:`frame_group`.
        emitters: those of GROUP_FRAMES frames.
        seed: int64 ``[2]``, no unit, of the group.

    Returns:
        float32 ``[GROUP_FRAMES, H, W]``, raw counts.
    """
    light = group_background(setup, seed)
    return recorded(setup, renderer(emitters.xyz_um, emitters.photons, emitters.blur_sigma_px) + light, seed)


def triple_group(
    setup: Setup, renderer: Renderer, seed: tf.Tensor, split: str, emitter_count: int | None = None
) -> tuple[tf.Tensor, Emitters]:
    """Return GROUP_FRAMES frames of blinking emitters, with their neighbours if the network sees these.

    Args:
        setup: the ``Setup``.
        renderer: as in :func:`frame_group`.
        seed: int64 ``[2]``, no unit, of the group.
        split: "training", "validation" or "simulation".
        emitter_count: fixed number of emitters a frame, instead of the setup's.

    Returns:
        float32 ``[GROUP_FRAMES, H, W, context_frames]``, raw counts: the frame before, the frame, the frame after (only
        the frame itself without context); and the Emitters of the frame itself.
    """
    counts, most = _numbers(setup, split, derived_seed(seed, 0), emitter_count)
    triple = sample_triple(setup, counts, most, derived_seed(seed, 1))
    light = group_background(setup, seed)
    frames = []
    for place, emitters in enumerate(triple):
        # Without context, the middle frame alone is made.
        if place == 1 or setup.learning.context_frames > 1:
            expected = renderer(emitters.xyz_um, emitters.photons, emitters.blur_sigma_px) + light
            frames.append(recorded(setup, expected, derived_seed(seed, 100 + place)))
    return tf.stack(frames, axis=-1), triple.middle


def normalize_each(frames: tf.Tensor, setup: Setup) -> tf.Tensor:
    """Return frames as a network takes them, each normalized by itself.

    Args:
        frames: float32 ``[B, H, W, n]``, raw counts of frames that follow one another.
        setup: the ``Setup``.

    Returns:
        float32 ``[B, H, W, n]``, or ``[B, H, W]`` for a single one, no unit.
    """
    each = [normalize(one, setup.normalization) for one in tf.unstack(frames, axis=-1)]
    return each[0] if len(each) == 1 else tf.stack(each, axis=-1)


def group_background(setup: Setup, seed: tf.Tensor) -> tf.Tensor:
    """Return the expected background of a group of frames: float32 ``[GROUP_FRAMES, H, W]`` or ``[1, 1, 1]``, photons.

    Args:
        setup: the ``Setup``.
        seed: int64 ``[2]``, no unit, of the group.
    """
    shape = (setup.volume.height_px, setup.volume.width_px)
    return background(setup.background, GROUP_FRAMES, shape, derived_seed(seed, 2))


def recorded(setup: Setup, expected: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return the raw counts float32 ``[F, H, W]`` that the setup's camera makes of expected photons.

    Args:
        setup: the ``Setup``.
        expected: float32 ``[F, H, W]``, photons; F frames.
        seed: int64 ``[2]``, no unit, of the frames.
    """
    frames = expected.shape[0] or GROUP_FRAMES
    expected = tf.ensure_shape(expected, [frames, setup.volume.height_px, setup.volume.width_px])
    own_camera = load_camera(setup)
    if own_camera is not None:
        return camera_counts(own_camera, expected, derived_seed(seed, 3), derived_seed(seed, 4))
    counts = poisson(expected, derived_seed(seed, 3))
    return camera.read_noise(setup.read_noise, setup.background, counts, derived_seed(seed, 4))


def group_emitters(setup: Setup, seed: tf.Tensor, split: str, emitter_count: int | None = None) -> Emitters:
    """Return the emitters of a group of GROUP_FRAMES frames.

    Args:
        setup: the ``Setup``.
        seed: int64 ``[2]``, no unit, of the group.
        split: "training", "validation" or "simulation".
        emitter_count: fixed number of emitters a frame, instead of the setup's.
    """
    counts, most = _numbers(setup, split, derived_seed(seed, 0), emitter_count)
    return sample_emitters(setup, counts, most, derived_seed(seed, 1))


def _numbers(setup: Setup, split: str, seed: tf.Tensor, emitter_count: int | None) -> tuple[tf.Tensor, int]:
    """Return the number of emitters in each frame of a group, and the largest."""
    if emitter_count is not None:
        return tf.fill([GROUP_FRAMES], emitter_count), emitter_count
    return sample_counts(setup, split, GROUP_FRAMES, seed), most_emitters(setup, split)


def training_dataset(
    setup: Setup,
    split: str = "training",
    seed: int | None = None,
    *,
    first_frame: int = 0,
    limit: int | None = None,
    batch_size: int | None = None,
    parallel_calls: int = tf.data.AUTOTUNE,
    renderer: Renderer | None = None,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Return a stream of simulated training or validation batches.

    Frames are numbered through all epochs: epoch e of the training split begins at frame
    ``e * training_set.training_count``. Without ``training_set.fresh_each_epoch``, and always for validation, the
    frames of the first epoch come again in every epoch. ``training_set.folder`` is not looked at here; see
    :func:`ds3d_tf.simulation.dataset.stored_dataset`.

    Args:
        setup: the ``Setup``.
        split: "training" or "validation".
        seed: seed of the stream; the setup's if None.
        first_frame: number of the first frame.
        limit: number of frames; None goes on to the end of the first frame's epoch.
        batch_size: frames a batch; the setup's if None. The last batch may be smaller.
        parallel_calls: groups of frames rendered at a time; the frames do not depend on it.
        renderer: maps xyz_um ``[B, E, 3]`` (µm), photons ``[B, E]``, blur ``[B, E]`` (pixels) to ``[B, H, W]``
            counts; the setup's own if None.
        share: part of every batch to return; groups without a frame of it are not simulated.

    Returns:
        tf.data.Dataset of (normalized frames float32 ``[B, H, W]``, no unit; emitters float32 ``[B, E, 4]``: x, y, z in
        µm and 1 for labelled emitters, 0 for padding and emitters below the label threshold). For the pixel network
        emitters are ``[B, E, 6]``, with photons and background (photoelectrons), and training frames are cropped.

    Raises InputError if the mask cannot be loaded.
    """
    renderer = default_renderer(setup) if renderer is None else renderer

    blinking = setup.emitters.photophysics == "blinking"

    def examples(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        frames, emitters = (triple_group if blinking else frame_group)(setup, renderer, seed, split)
        frames = normalize_each(frames, setup) if blinking else normalize(frames, setup.normalization)
        if setup.learning.network == "voxel":
            return frames, emitters.with_weights()
        labels = light_labels(setup, emitters, group_background(setup, seed))
        side = setup.learning.crop_px
        if side is None or split != "training":
            return frames, labels
        return random_crops(frames, labels, side, setup.optics.pixel_um, derived_seed(seed, 5))

    return grouped_stream(setup, split, seed, examples, first_frame, limit, batch_size, parallel_calls, share)


def epoch_frames(setup: Setup, split: str) -> int:
    """Return the number of frames in an epoch of a split."""
    section = setup.training_set
    return section.validation_count if split == "validation" else section.training_count


def grouped_stream(
    setup: Setup,
    split: str,
    seed: int | None,
    examples: Callable[[tf.Tensor], Any],
    first_frame: int,
    limit: int | None,
    batch_size: int | None,
    parallel_calls: int,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Return batches of ``examples(seed of a group)`` for the frames asked for.

    Args:
        setup: the ``Setup``.
        split: "training" or "validation".
        seed: seed of the stream; the setup's if None.
        examples: maps the seed of a group, int64 ``[2]`` (no unit), to tensors ``[GROUP_FRAMES, ...]`` of any unit.
        first_frame: number of the first frame.
        limit: number of frames; None goes on to the end of the first frame's epoch.
        batch_size: frames a batch; the setup's if None. The last batch may be smaller.
        parallel_calls: groups made at a time.
        share: part of every batch to return.
    """
    epoch = epoch_frames(setup, split)
    limit = epoch - first_frame % epoch if limit is None else limit
    last_frame = first_frame + limit
    repeats = split == "validation" or not setup.training_set.fresh_each_epoch
    stream_seed = split_seed(setup.training_set.seed if seed is None else seed, split)
    batch_size = setup.learning.batch_size if batch_size is None else batch_size
    # Where epochs repeat, every epoch begins a new group; else groups run through.
    period = epoch if repeats else max(last_frame, 1)
    groups_in_period = math.ceil(period / GROUP_FRAMES)

    def place(frame: int) -> int:
        return frame // period * groups_in_period + frame % period // GROUP_FRAMES

    def frames_of(place: tf.Tensor) -> Any:
        group = place % groups_in_period
        start = place // groups_in_period * period + group * GROUP_FRAMES
        begin = tf.maximum(first_frame - start, 0)
        end = tf.minimum(tf.minimum(last_frame - start, period - group * GROUP_FRAMES), GROUP_FRAMES)
        if share == WHOLE:
            return tf.nest.map_structure(lambda value: value[begin:end], examples(derived_seed(stream_seed, group)))
        own = shared_frames(place)
        return tf.nest.map_structure(
            lambda value: tf.boolean_mask(value, own), examples(derived_seed(stream_seed, group))
        )

    def shared_frames(place: tf.Tensor) -> tf.Tensor:
        group, inside = place % groups_in_period, tf.range(GROUP_FRAMES, dtype=tf.int64)
        number = place // groups_in_period * period + group * GROUP_FRAMES + inside
        asked = (number >= first_frame) & (number < last_frame) & (group * GROUP_FRAMES + inside < period)
        return asked & share.holds(number - first_frame, batch_size, limit)

    places = tf.data.Dataset.range(place(first_frame), place(last_frame - 1) + 1 if limit > 0 else 0)
    if share != WHOLE:
        places = places.filter(lambda place: tf.reduce_any(shared_frames(place)))
    frames = places.map(frames_of, num_parallel_calls=parallel_calls, deterministic=True)
    batches = frames.rebatch(share.of_batch_size(batch_size))
    batches = batches.apply(tf.data.experimental.assert_cardinality(math.ceil(limit / batch_size)))
    options = tf.data.Options()
    # Several groups on a core each come faster than one on all: the work of a group is many small operations.
    options.threading.max_intra_op_parallelism = 1
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def simulated_groups(
    setup: Setup,
    count: int,
    seed: int,
    emitter_count: int | None = None,
    *,
    first_frame: int = 0,
    renderer: Renderer | None = None,
) -> Iterator[SimulatedFrames]:
    """Yield simulated frames with raw counts, a few at a time, in order.

    Args:
        setup: the ``Setup``.
        count: number of frames.
        seed: seed of the frames; they differ from those of training with the same seed.
        emitter_count: fixed number of emitters a frame, instead of the setup's.
        first_frame: number of the first frame.
        renderer: as in :func:`training_dataset`.

    Raises InputError if the mask cannot be loaded.
    """
    if emitter_count is not None and emitter_count < 0:
        raise ValueError(f"emitter_count: expected 0 or more, got {emitter_count}")
    renderer = default_renderer(setup) if renderer is None else renderer
    stream_seed = split_seed(seed, "simulation")
    if setup.emitters.photophysics == "blinking":
        # The whole recording has one background.
        light = group_background(setup, stream_seed)[:1]

        def record(xyz_um: tf.Tensor, photons: tf.Tensor, blur: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return recorded(setup, renderer(xyz_um, photons, blur) + light, seed)

        for parts in movie_groups(setup, count, seed, emitter_count, first_frame, GROUP_FRAMES, record):
            yield SimulatedFrames(*parts)
        return

    @tf.function(autograph=False)
    def group_of(group: tf.Tensor) -> tuple[tf.Tensor, Emitters]:
        return frame_group(setup, renderer, derived_seed(stream_seed, group), "simulation", emitter_count)

    last_frame = first_frame + count
    for group in range(first_frame // GROUP_FRAMES, math.ceil(last_frame / GROUP_FRAMES) if count else 0):
        start = group * GROUP_FRAMES
        wanted = slice(max(first_frame - start, 0), min(last_frame - start, GROUP_FRAMES))
        frames, emitters = group_of(tf.constant(group, tf.int64))
        yield SimulatedFrames(
            frames.numpy()[wanted],
            emitters.xyz_um.numpy()[wanted],
            emitters.photons.numpy()[wanted],
            emitters.labelled.numpy()[wanted],
        )


def simulate_frames(
    setup: Setup,
    count: int,
    seed: int,
    emitter_count: int | None = None,
    *,
    first_frame: int = 0,
    renderer: Renderer | None = None,
) -> SimulatedFrames:
    """Return simulated frames with raw counts and their truth (arguments: :func:`simulated_groups`)."""
    groups = list(simulated_groups(setup, count, seed, emitter_count, first_frame=first_frame, renderer=renderer))
    most = max((group.photons.shape[1] for group in groups), default=0)
    groups = [_wider(group, most) for group in groups]
    if not groups:
        shape = (0, setup.volume.height_px, setup.volume.width_px)
        places = most_emitters(setup, "simulation") if emitter_count is None else emitter_count
        return SimulatedFrames(
            np.zeros(shape, np.float32),
            np.zeros((0, places, 3), np.float32),
            np.zeros((0, places), np.float32),
            np.zeros((0, places), bool),
        )
    return SimulatedFrames(
        *(np.concatenate([getattr(g, name) for g in groups]) for name in ("frames", "xyz_um", "photons", "labelled"))
    )


def _wider(group: SimulatedFrames, most: int) -> SimulatedFrames:
    """Return a group whose lists of emitters have ``most`` places."""
    more = ((0, 0), (0, most - group.photons.shape[1]))
    return SimulatedFrames(
        group.frames,
        np.pad(group.xyz_um, (*more, (0, 0))),
        np.pad(group.photons, more),
        np.pad(group.labelled, more),
    )
