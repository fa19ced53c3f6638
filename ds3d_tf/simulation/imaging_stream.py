"""What a frame is made of, before the mask comes in: the stream for learning a mask."""

from __future__ import annotations

import tensorflow as tf

from ds3d_tf.setup import Setup
from ds3d_tf.setup.camera_files import load_camera
from ds3d_tf.simulation import camera
from ds3d_tf.simulation.background import background
from ds3d_tf.simulation.camera_counts import camera_parts
from ds3d_tf.simulation.random_numbers import standard_normal
from ds3d_tf.simulation.seeds import derived_seed
from ds3d_tf.simulation.stream import GROUP_FRAMES, group_emitters, grouped_stream


def imaging_dataset(
    setup: Setup,
    split: str = "training",
    seed: int | None = None,
    *,
    first_frame: int = 0,
    limit: int | None = None,
    batch_size: int | None = None,
    parallel_calls: int = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
    """Return a stream of what an ``ImagingLayer`` makes frames of: emitters, background and all random numbers.

    With a section `camera`, background is in photons, and the medians of the camera's maps stand for the maps.

    Emitters and background are those of :func:`ds3d_tf.simulation.stream.training_dataset`; whatever the mask is,
    it is judged on the same of them and on the same noise.

    Args:
        setup: the ``Setup``.
        split: "training" or "validation".
        seed: seed of the stream; the setup's if None.
        first_frame: number of the first frame.
        limit: number of frames; None goes on to the end of the first frame's epoch.
        batch_size: frames a batch; the setup's if None. The last batch may be smaller.
        parallel_calls: groups of frames drawn at a time; the numbers do not depend on it.

    Returns:
        tf.data.Dataset of (parts, emitters). The parts are a dictionary: ``xyz_um`` float32 ``[B, E, 3]`` µm,
        ``photons`` float32 ``[B, E]`` (0 = padding), ``blur_sigma_px`` float32 ``[B, E]`` camera pixels, ``background``
        float32 ``[B, H, W]`` counts, ``shot_noise`` float32 ``[B, H, W]``, standard normal numbers (no unit), and
        ``dark_counts`` float32 ``[B, H, W]``, baseline and read noise, counts. Emitters are float32 ``[B, E, 4]``: x,
        y, z in µm and 1 for labelled emitters, 0 for padding and emitters below the label threshold.
    """
    shape = (setup.volume.height_px, setup.volume.width_px)
    whole = (GROUP_FRAMES, *shape)
    own_camera = load_camera(setup)

    def examples(seed: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        emitters = group_emitters(setup, seed, split)
        light = tf.broadcast_to(background(setup.background, GROUP_FRAMES, shape, derived_seed(seed, 2)), whole)
        normal = tf.ensure_shape(standard_normal(tf.constant(whole), derived_seed(seed, 3)), whole)
        section = setup.read_noise
        if own_camera is not None:
            light, normal, dark = camera_parts(own_camera, light, normal, derived_seed(seed, 4))
        elif section.kind == "none":
            dark = tf.zeros(whole)
        else:
            dark = camera.dark_counts(
                section, setup.background, tf.constant(whole), tf.TensorShape(whole), derived_seed(seed, 4)
            )
        parts = {
            "xyz_um": emitters.xyz_um,
            "photons": emitters.photons,
            "blur_sigma_px": emitters.blur_sigma_px,
            "background": light,
            "shot_noise": normal,
            "dark_counts": dark,
        }
        return parts, emitters.with_weights()

    return grouped_stream(setup, split, seed, examples, first_frame, limit, batch_size, parallel_calls)
